/* The end of another process, told by the event loop. */
#ifndef NPP_PIDFD_H
#define NPP_PIDFD_H

#include <node_api.h>

/*
 * Adds the class ProcessWatch to `exports`. Everything is kept per environment, so that worker threads may load the addon too. Returns
 * napi_ok, or a status with a JavaScript exception pending.
 */
napi_status npp_pidfd_register(napi_env env, napi_value exports);

#endif
