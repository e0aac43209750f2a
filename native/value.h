/* JavaScript values at the door of the addon: arguments read and checked, results and errors made. */
#ifndef NPP_VALUE_H
#define NPP_VALUE_H

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Number.MAX_SAFE_INTEGER */
#define NPP_SAFE_INTEGER 9007199254740991.0

/* Throws an Error with `code` (EMFILE and the like), `errno` and `syscall`. */
void npp_throw_errno(napi_env env, int error, const char *syscall_name);

/* Throws a TypeError with this code; returns NULL for the caller to return. */
napi_value npp_refuse(napi_env env, const char *code, const char *message);

/* After a Node-API call that failed: keeps the exception it left behind, or throws one. Returns NULL for the caller to return. */
napi_value npp_fail(napi_env env);

/* A number without a fraction from 0 to `most`, which is NPP_SAFE_INTEGER at the most. False, without an exception, for anything else. */
bool npp_read_integer(napi_env env, napi_value value, double most, double *out);

/* The memory of a Uint8Array (or Buffer), valid until JavaScript runs again. False, without an exception, for anything else. */
bool npp_read_bytes(napi_env env, napi_value value, uint8_t **data, size_t *length);

/* Results; NULL with an exception pending when they could not be made. */
napi_value npp_number_value(napi_env env, double number);
napi_value npp_integer_value(napi_env env, int32_t number);
napi_value npp_boolean_value(napi_env env, bool truth);

#endif
