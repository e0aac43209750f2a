#include "value.h"

#include "uv-abi.h"

void npp_throw_errno(napi_env env, int error, const char *syscall_name) {
  char name[64];
  char text[192];
  char message[320];
  napi_value code, words, failure, number, syscall_value;
  uv_err_name_r(-error, name, sizeof name);
  uv_strerror_r(-error, text, sizeof text);
  size_t length = 0;
  const char *parts[] = {name, ": ", text, ", ", syscall_name};
  for (size_t part = 0; part < sizeof parts / sizeof parts[0]; part++) {
    for (const char *from = parts[part]; *from != '\0' && length < sizeof message - 1; from++) message[length++] = *from;
  }
  if (napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &code) != napi_ok ||
      napi_create_string_utf8(env, message, length, &words) != napi_ok || napi_create_error(env, code, words, &failure) != napi_ok ||
      napi_create_int32(env, error, &number) != napi_ok || napi_set_named_property(env, failure, "errno", number) != napi_ok ||
      napi_create_string_utf8(env, syscall_name, NAPI_AUTO_LENGTH, &syscall_value) != napi_ok ||
      napi_set_named_property(env, failure, "syscall", syscall_value) != napi_ok || napi_throw(env, failure) != napi_ok) {
    napi_throw_error(env, NULL, syscall_name);
  }
}

napi_value npp_refuse(napi_env env, const char *code, const char *message) {
  napi_throw_type_error(env, code, message);
  return NULL;
}

napi_value npp_fail(napi_env env) {
  bool pending = false;
  if (napi_is_exception_pending(env, &pending) != napi_ok || !pending) {
    napi_throw_error(env, NULL, "npp: a Node-API call failed");
  }
  return NULL;
}

bool npp_read_integer(napi_env env, napi_value value, double most, double *out) {
  double number;
  if (napi_get_value_double(env, value, &number) != napi_ok) return false;
  /* `most` is NPP_SAFE_INTEGER at the most, so that the cast is defined; NaN fails the first comparison. */
  if (!(number >= 0 && number <= most) || number != (double)(int64_t)number) return false;
  *out = number;
  return true;
}

bool npp_read_bytes(napi_env env, napi_value value, uint8_t **data, size_t *length) {
  napi_typedarray_type type;
  void *start;
  /* Refuses whatever is no typed array. */
  if (napi_get_typedarray_info(env, value, &type, length, &start, NULL, NULL) != napi_ok) return false;
  if (type != napi_uint8_array) return false;
  *data = start;
  return true;
}

napi_value npp_number_value(napi_env env, double number) {
  napi_value value;
  return napi_create_double(env, number, &value) == napi_ok ? value : npp_fail(env);
}

napi_value npp_integer_value(napi_env env, int32_t number) {
  napi_value value;
  return napi_create_int32(env, number, &value) == napi_ok ? value : npp_fail(env);
}

napi_value npp_boolean_value(napi_env env, bool truth) {
  napi_value value;
  return napi_get_boolean(env, truth, &value) == napi_ok ? value : npp_fail(env);
}
