#include "pidfd.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "uv-abi.h"
#include "value.h"

/* pidfd_open(2) came with Linux 5.3, and with the C library later. The number is the same everywhere but on Alpha. */
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
/* pidfd_send_signal(2) came with Linux 5.1, before pidfd_open. */
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
/* proc_pid_sys_kernel(5): pid_max is 2^22 at the most. */
#define PID_MAX 4194304

struct watch;

/* One per environment. It outlives its watches' poll handles and is freed when the environment's clean-up has closed the last of them. */
struct watch_env {
  napi_env env;
  struct watch *first;
  /* Poll handles that libuv still knows, those being closed included. */
  size_t handles;
  napi_async_cleanup_hook_handle ending;
  bool ended;
};

struct watch {
  /* NULL once the watch is closed: from then on only the finalizer touches this struct. */
  struct watch_env *owner;
  struct watch *previous;
  struct watch *next;
  int descriptor;
  uv_poll_t *poll;
  /* Weak, but strong while it waits: the event loop then holds the watch. */
  napi_ref self;
  bool waiting;
};

static napi_value refuse(napi_env env, const char *message) { return npp_refuse(env, "NPP_PROCESS_ARGUMENT", message); }

/* ---- closing ---- */

static void finish_end(struct watch_env *owner) {
  /* Nothing is left to be done when this fails; the environment is going away. */
  (void)napi_remove_async_cleanup_hook(owner->ending);
  free(owner);
}

static void on_poll_closed(uv_handle_t *handle) {
  struct watch_env *owner = uv_handle_get_data(handle);
  free(handle);
  owner->handles--;
  if (owner->ended && owner->handles == 0) finish_end(owner);
}

static void close_watch(struct watch *watch) {
  struct watch_env *owner = watch->owner;
  if (owner == NULL) return;
  if (watch->poll != NULL) {
    uv_handle_t *handle = (uv_handle_t *)watch->poll;
    watch->poll = NULL;
    uv_handle_set_data(handle, owner);
    uv_close(handle, on_poll_closed);
  }
  /* libuv, poll.html: the descriptor may be closed at once after uv_close. Linux closes it whatever close(2) returns. */
  (void)close(watch->descriptor);
  watch->descriptor = -1;
  if (watch->previous != NULL) {
    watch->previous->next = watch->next;
  } else {
    owner->first = watch->next;
  }
  if (watch->next != NULL) watch->next->previous = watch->previous;
  watch->previous = watch->next = NULL;
  watch->owner = NULL;
  if (watch->waiting && !owner->ended) {
    uint32_t count;
    (void)napi_reference_unref(owner->env, watch->self, &count);
  }
  watch->waiting = false;
}

static void on_collected(napi_env env, void *data, void *hint) {
  (void)hint;
  struct watch *watch = data;
  close_watch(watch);
  if (watch->self != NULL) (void)napi_delete_reference(env, watch->self);
  free(watch);
}

/* A worker's loop must have no handle left when it ends, and closing one takes a turn of the loop: hence the asynchronous hook. */
static void on_environment_end(napi_async_cleanup_hook_handle handle, void *data) {
  struct watch_env *owner = data;
  owner->ending = handle;
  owner->ended = true;
  while (owner->first != NULL) close_watch(owner->first);
  if (owner->handles == 0) finish_end(owner);
}

/* ---- the end ---- */

/* An exception of a listener ends up where one of a timer does: at 'uncaughtException'. */
static void report_exception(napi_env env) {
  bool pending = false;
  napi_value thrown;
  if (napi_is_exception_pending(env, &pending) != napi_ok || !pending) return;
  if (napi_get_and_clear_last_exception(env, &thrown) != napi_ok) return;
  (void)napi_fatal_exception(env, thrown);
}

/* pidfd_open(2): the descriptor becomes readable when the process ends, and stays so. */
static void on_poll(uv_poll_t *handle, int status, int events) {
  (void)events;
  struct watch *watch = uv_handle_get_data((uv_handle_t *)handle);
  napi_env env = watch->owner->env;
  napi_handle_scope scope;
  napi_value self, listener, argument, result;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  /* The handle scope holds `self`, and with it `watch`, until it is closed below; closing the watch ends the telling. */
  if (napi_get_reference_value(env, watch->self, &self) == napi_ok && self != NULL) {
    close_watch(watch);
    if (napi_get_named_property(env, self, "onEnd", &listener) != napi_ok || napi_create_int32(env, status, &argument) != napi_ok ||
        /* No async context: a listener belongs to no request, and must not inherit the one in which the addon happened to be loaded. */
        napi_make_callback(env, NULL, self, listener, 1, &argument, &result) != napi_ok) {
      report_exception(env);
    }
  }
  (void)napi_close_handle_scope(env, scope);
}

/* Returns 0 or a negative errno, as libuv does. */
static int start_poll(napi_env env, struct watch *watch) {
  uv_loop_t *loop;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return -EINVAL;
  if (watch->poll == NULL) {
    uv_poll_t *handle = malloc(uv_handle_size(NPP_UV_POLL));
    if (handle == NULL) return -ENOMEM;
    int failed = uv_poll_init(loop, handle, watch->descriptor);
    if (failed < 0) {
      free(handle);
      return failed;
    }
    uv_handle_set_data((uv_handle_t *)handle, watch);
    watch->poll = handle;
    watch->owner->handles++;
  }
  return uv_poll_start(watch->poll, NPP_UV_READABLE, on_poll);
}

/* wait(hold): onEnd is called once, with 0 or a negative errno, and the watch is closed by then. `hold` keeps the event loop going. */
static napi_value wait_method(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1], self;
  void *wrapped = NULL;
  bool hold;
  uint32_t count;
  if (napi_get_cb_info(env, info, &argc, argv, &self, NULL) != napi_ok || napi_unwrap(env, self, &wrapped) != napi_ok) return npp_fail(env);
  struct watch *watch = wrapped;
  if (argc < 1 || napi_get_value_bool(env, argv[0], &hold) != napi_ok) return refuse(env, "hold is a boolean");
  if (watch->owner == NULL || watch->waiting) return refuse(env, "a watch waits once");
  if (napi_reference_ref(env, watch->self, &count) != napi_ok) return npp_fail(env);
  watch->waiting = true;
  int failed = start_poll(env, watch);
  if (failed < 0) {
    close_watch(watch);
    npp_throw_errno(env, -failed, "epoll_ctl");
    return NULL;
  }
  if (!hold) uv_unref((uv_handle_t *)watch->poll);
  return NULL;
}

/* close(): closing twice does nothing. */
static napi_value close_method(napi_env env, napi_callback_info info) {
  napi_value self;
  void *wrapped = NULL;
  if (napi_get_cb_info(env, info, NULL, NULL, &self, NULL) != napi_ok || napi_unwrap(env, self, &wrapped) != napi_ok) return npp_fail(env);
  close_watch(wrapped);
  return NULL;
}

/*
 * kill(): SIGKILL to the process that the descriptor was opened for, and to no other that may have its pid by now. False when it has ended, or the
 * watch is closed; throws what the system says else, as EPERM.
 */
static napi_value kill_method(napi_env env, napi_callback_info info) {
  napi_value self;
  void *wrapped = NULL;
  if (napi_get_cb_info(env, info, NULL, NULL, &self, NULL) != napi_ok || napi_unwrap(env, self, &wrapped) != napi_ok) return npp_fail(env);
  const struct watch *watch = wrapped;
  if (watch->descriptor < 0) return npp_boolean_value(env, false);
  if (syscall(SYS_pidfd_send_signal, watch->descriptor, SIGKILL, NULL, 0u) == 0) return npp_boolean_value(env, true);
  if (errno == ESRCH) return npp_boolean_value(env, false);
  npp_throw_errno(env, errno, "pidfd_send_signal");
  return NULL;
}

/* ---- opening ---- */

/* new ProcessWatch(pid): throws ESRCH where there is no such process. */
static napi_value construct(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1], self, target;
  void *data;
  double pid;
  if (napi_get_cb_info(env, info, &argc, argv, &self, &data) != napi_ok || napi_get_new_target(env, info, &target) != napi_ok) return npp_fail(env);
  struct watch_env *owner = data;
  if (target == NULL) return refuse(env, "ProcessWatch is a class");
  if (argc < 1 || !npp_read_integer(env, argv[0], PID_MAX, &pid) || pid < 1) return refuse(env, "a pid is an integer from 1 to 4,194,304");

  /* The kernel sets close-on-exec on every pidfd. */
  long descriptor = syscall(SYS_pidfd_open, (pid_t)pid, 0u);
  if (descriptor < 0) {
    npp_throw_errno(env, errno, "pidfd_open");
    return NULL;
  }
  struct watch *watch = calloc(1, sizeof *watch);
  if (watch == NULL) {
    (void)close((int)descriptor);
    npp_throw_errno(env, ENOMEM, "malloc");
    return NULL;
  }
  if (napi_wrap(env, self, watch, on_collected, NULL, &watch->self) != napi_ok) {
    (void)close((int)descriptor);
    free(watch);
    return npp_fail(env);
  }
  watch->descriptor = (int)descriptor;
  watch->owner = owner;
  watch->next = owner->first;
  if (owner->first != NULL) owner->first->previous = watch;
  owner->first = watch;
  return self;
}

#define METHOD(title, function) {.utf8name = title, .method = function, .attributes = napi_default_method}

napi_status npp_pidfd_register(napi_env env, napi_value exports) {
  napi_value class_value;
  struct watch_env *owner = calloc(1, sizeof *owner);
  if (owner == NULL) return napi_generic_failure;
  owner->env = env;
  const napi_property_descriptor methods[] = {METHOD("wait", wait_method), METHOD("kill", kill_method), METHOD("close", close_method)};
  napi_status status =
      napi_define_class(env, "ProcessWatch", NAPI_AUTO_LENGTH, construct, owner, sizeof methods / sizeof methods[0], methods, &class_value);
  if (status == napi_ok) status = napi_set_named_property(env, exports, "ProcessWatch", class_value);
  if (status == napi_ok) status = napi_add_async_cleanup_hook(env, on_environment_end, owner, NULL);
  if (status != napi_ok) free(owner);
  return status;
}
