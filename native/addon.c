#include <node_api.h>

#include "mq.h"
#include "net.h"
#include "pidfd.h"
#include "shm.h"
#include "write-now.h"

NAPI_MODULE_INIT() {
  if (npp_mq_register(env, exports) != napi_ok || npp_net_register(env, exports) != napi_ok ||
      npp_shm_register(env, exports) != napi_ok || npp_pidfd_register(env, exports) != napi_ok ||
      npp_write_now_register(env, exports) != napi_ok) {
    bool pending = false;
    if (napi_is_exception_pending(env, &pending) == napi_ok && !pending) {
      napi_throw_error(env, NULL, "npp: its classes could not be registered");
    }
    return NULL;
  }
  return exports;
}
