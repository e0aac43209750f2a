/* Memory shared between processes: a file, mapped, as an ArrayBuffer. */
#ifndef NPP_SHM_H
#define NPP_SHM_H

#include <node_api.h>

/* Adds the class SharedMemory to `exports`. Returns napi_ok, or a status with a JavaScript exception pending. */
napi_status npp_shm_register(napi_env env, napi_value exports);

#endif
