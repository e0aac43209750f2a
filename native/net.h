/* Sockets for JavaScript, a batch of events at a time. */
#ifndef NPP_NET_H
#define NPP_NET_H

#include <node_api.h>

/*
 * Adds the class Net to `exports`. Everything is kept per environment, so that worker threads may load the addon too. Returns napi_ok, or a
 * status with a JavaScript exception pending.
 */
napi_status npp_net_register(napi_env env, napi_value exports);

#endif
