#include "write-now.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#include "net-sys.h"
#include "value.h"

#define ARGUMENT "NPP_WRITE_ARGUMENT"

/* What the descriptor takes at once, or the errno as a negative number. */
static int32_t write_at_once(int descriptor, const uint8_t *bytes, size_t length) {
  ssize_t taken = npp_send(descriptor, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (taken < 0 && errno == ENOTSOCK) {
    /* pipe(7): a pipe that poll finds writable takes PIPE_BUF bytes without waiting. Another process may fill it in between. */
    struct pollfd watched = {.fd = descriptor, .events = POLLOUT};
    int ready = poll(&watched, 1, 0);
    if (ready == 0) return -EAGAIN;
    if (ready < 0) return -errno;
    taken = write(descriptor, bytes, length > PIPE_BUF ? PIPE_BUF : length);
  }
  return taken < 0 ? -errno : (int32_t)taken;
}

/* writeNow(descriptor, bytes, start, end) */
static napi_value write_now(napi_env env, napi_callback_info info) {
  size_t argc = 4, length;
  napi_value argv[4];
  uint8_t *data;
  double descriptor, start, end;
  if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok) return npp_fail(env);
  if (argc < 4 || !npp_read_integer(env, argv[0], INT_MAX, &descriptor)) return npp_refuse(env, ARGUMENT, "a descriptor is an integer from 0 on");
  if (!npp_read_bytes(env, argv[1], &data, &length)) return npp_refuse(env, ARGUMENT, "bytes are a Uint8Array");
  if (!npp_read_integer(env, argv[3], length > INT_MAX ? INT_MAX : (double)length, &end) || !npp_read_integer(env, argv[2], end, &start)) {
    return npp_refuse(env, ARGUMENT, "start and end lie within the bytes, start first");
  }
  /* An empty typed array may have no memory. */
  if (start == end) return npp_integer_value(env, 0);
  return npp_integer_value(env, write_at_once((int)descriptor, data + (size_t)start, (size_t)(end - start)));
}

napi_status npp_write_now_register(napi_env env, napi_value exports) {
  napi_value function;
  napi_status status = napi_create_function(env, "writeNow", NAPI_AUTO_LENGTH, write_now, NULL, &function);
  return status == napi_ok ? napi_set_named_property(env, exports, "writeNow", function) : status;
}
