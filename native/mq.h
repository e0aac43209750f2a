/* POSIX message queues for JavaScript, their readiness told by the event loop. */
#ifndef NPP_MQ_H
#define NPP_MQ_H

#include <node_api.h>

/*
 * Adds the class Queue and the function unlinkQueue to `exports`. Everything is kept per environment, so that worker threads may load the
 * addon too. Returns napi_ok, or a status with a JavaScript exception pending.
 */
napi_status npp_mq_register(napi_env env, napi_value exports);

#endif
