/*
 * The part of libuv 1.x that npp uses, declared by hand: node-api-headers brings no uv.h, and Node.js exports libuv's symbols to addons.
 *
 * Source: libuv 1.x, include/uv.h and docs.libuv.org (handle.html, poll.html, async.html, errors.html). libuv promises that its ABI stays within a
 * major version; Node.js 20, 24 and 26 all carry libuv 1.x. Only handles behind pointers are used, their size asked of the library that is
 * loaded, so that no layout is written down here. The contract tests compile this file together with Node's own uv.h where that is
 * installed: a declaration that differs does not compile.
 */
#ifndef NPP_UV_ABI_H
#define NPP_UV_ABI_H

#include <stddef.h>

typedef struct uv_loop_s uv_loop_t;
typedef struct uv_handle_s uv_handle_t;
typedef struct uv_poll_s uv_poll_t;
typedef struct uv_async_s uv_async_t;

typedef void (*uv_close_cb)(uv_handle_t *handle);
typedef void (*uv_poll_cb)(uv_poll_t *handle, int status, int events);
typedef void (*uv_async_cb)(uv_async_t *handle);

/* enum uv_handle_type and enum uv_poll_event. Macros, so that uv.h may be included beside this file. */
#define NPP_UV_ASYNC 1u
#define NPP_UV_POLL 8u
#define NPP_UV_READABLE 1
#define NPP_UV_WRITABLE 2

extern size_t uv_handle_size(unsigned int type);
extern void *uv_handle_get_data(const uv_handle_t *handle);
extern void uv_handle_set_data(uv_handle_t *handle, void *data);
extern void uv_close(uv_handle_t *handle, uv_close_cb close_cb);
extern void uv_ref(uv_handle_t *handle);
extern void uv_unref(uv_handle_t *handle);

extern int uv_poll_init(uv_loop_t *loop, uv_poll_t *handle, int fd);
extern int uv_poll_start(uv_poll_t *handle, int events, uv_poll_cb cb);
extern int uv_poll_stop(uv_poll_t *handle);

/* async.html: uv_async_send is the one call of libuv that may be made from any thread. */
extern int uv_async_init(uv_loop_t *loop, uv_async_t *async, uv_async_cb async_cb);
extern int uv_async_send(uv_async_t *async);

/* libuv's error numbers on Linux are the negative errno. */
extern char *uv_err_name_r(int err, char *buf, size_t buflen);
extern char *uv_strerror_r(int err, char *buf, size_t buflen);

#endif
