/* A write that does not wait, whatever the descriptor does else: for the log, whose reader may have stopped reading. */
#ifndef NPP_WRITE_NOW_H
#define NPP_WRITE_NOW_H

#include <node_api.h>

/* Adds the function writeNow to `exports`. Returns napi_ok, or a status with a JavaScript exception pending. */
napi_status npp_write_now_register(napi_env env, napi_value exports);

#endif
