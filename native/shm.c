#include "shm.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "value.h"

/* No other mode is given, and a file of another mode is not opened: what is in it was written by processes of one user. */
#define OWNER_ONLY 0600
/* Memory for a file may take a while to be found, and a signal cuts that short; the bound keeps a storm of them from holding the process here. */
#define EINTR_TRIES 64

/* Belongs to two JavaScript objects, the SharedMemory and its ArrayBuffer, and is freed with the second of them. */
struct mapping {
  void *start;
  size_t length;
  /* -1 once closed. */
  int descriptor;
  bool mapped;
  /* Whether the SharedMemory, and the ArrayBuffer, are still to be finalized. */
  bool wrapped;
  bool lent;
  /* Weak: the ArrayBuffer. */
  napi_ref buffer;
};

/* Tells a SharedMemory from whatever else JavaScript hands in. */
static const napi_type_tag SHARED_MEMORY = {0x6e70702d73686d00, 0x9d1f4c0a77b3e852};

static napi_value refuse(napi_env env, const char *message) { return npp_refuse(env, "NPP_SHM_ARGUMENT", message); }

static bool read_path(napi_env env, napi_value value, char *path) {
  size_t length;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok) return false;
  if (length < 2 || length >= PATH_MAX) return false;
  if (napi_get_value_string_utf8(env, value, path, PATH_MAX, &length) != napi_ok) return false;
  return path[0] == '/' && strlen(path) == length;
}

/* ---- closing ---- */

static void free_when_unused(struct mapping *mapping) {
  if (!mapping->wrapped && !mapping->lent) free(mapping);
}

/* Returns 0 or an errno. */
static int unmap(struct mapping *mapping) {
  if (!mapping->mapped) return 0;
  mapping->mapped = false;
  return munmap(mapping->start, mapping->length) == 0 ? 0 : errno;
}

/* Linux closes the descriptor whatever close(2) returns; nothing was written to it that an error could tell of. */
static void close_descriptor(struct mapping *mapping) {
  if (mapping->descriptor >= 0) (void)close(mapping->descriptor);
  mapping->descriptor = -1;
}

/* The ArrayBuffer was collected or detached, or the environment ends: nothing in JavaScript leads to the memory any more. */
static void on_buffer_freed(napi_env env, void *data, void *hint) {
  (void)env;
  (void)data;
  struct mapping *mapping = hint;
  (void)unmap(mapping);
  mapping->lent = false;
  free_when_unused(mapping);
}

static void on_collected(napi_env env, void *data, void *hint) {
  (void)hint;
  struct mapping *mapping = data;
  close_descriptor(mapping);
  if (mapping->buffer != NULL) (void)napi_delete_reference(env, mapping->buffer);
  mapping->buffer = NULL;
  mapping->wrapped = false;
  free_when_unused(mapping);
}

/* `this` is an instance of SharedMemory: V8 refuses a method of the class on anything else, and the constructor wraps or throws. */
static struct mapping *mapping_of(napi_env env, napi_callback_info info, size_t *argc, napi_value *argv) {
  napi_value self;
  void *wrapped = NULL;
  if (napi_get_cb_info(env, info, argc, argv, &self, NULL) != napi_ok || napi_unwrap(env, self, &wrapped) != napi_ok) {
    npp_fail(env);
    return NULL;
  }
  return wrapped;
}

/*
 * close(): whoever still holds the ArrayBuffer, or a view of it, finds it detached, of length 0. Where JavaScript has moved the memory into
 * another ArrayBuffer (transfer()), it stays mapped until that one is collected. Closing twice does nothing.
 */
static napi_value close_method(napi_env env, napi_callback_info info) {
  napi_value buffer = NULL;
  bool detached = false;
  struct mapping *mapping = mapping_of(env, info, NULL, NULL);
  if (mapping == NULL) return NULL;
  close_descriptor(mapping);
  if (!mapping->mapped) return NULL;
  if (napi_get_reference_value(env, mapping->buffer, &buffer) != napi_ok) return npp_fail(env);
  /* Collected already: its finalizer unmaps. */
  if (buffer == NULL) return NULL;
  if (napi_is_detached_arraybuffer(env, buffer, &detached) != napi_ok) return npp_fail(env);
  if (detached) return NULL;
  if (napi_detach_arraybuffer(env, buffer) != napi_ok) return npp_fail(env);
  int error = unmap(mapping);
  if (error != 0) npp_throw_errno(env, error, "munmap");
  return NULL;
}

/* ---- memory ---- */

/* Takes the memory for a part of the file now, so that a full file system is an error here and not SIGBUS later. Returns 0 or an errno. */
static int reserve(int descriptor, off_t offset, off_t length) {
  int error = 0;
  if (length == 0) return 0;
  for (int tries = 0; tries < EINTR_TRIES; tries++) {
    error = posix_fallocate(descriptor, offset, length);
    if (error != EINTR) return error;
  }
  return error;
}

/* reserve(offset, length) */
static napi_value reserve_method(napi_env env, napi_callback_info info) {
  size_t argc = 2;
  napi_value argv[2];
  double offset, length;
  struct mapping *mapping = mapping_of(env, info, &argc, argv);
  if (mapping == NULL) return NULL;
  if (mapping->descriptor < 0) {
    napi_throw_error(env, "NPP_SHM_CLOSED", "the shared memory was closed before this use");
    return NULL;
  }
  const double all = (double)mapping->length;
  if (argc < 2 || !npp_read_integer(env, argv[0], all, &offset)) return refuse(env, "an offset is an integer from 0 to the length of the memory");
  if (!npp_read_integer(env, argv[1], all - offset, &length)) return refuse(env, "the part to reserve lies within the memory");
  int error = reserve(mapping->descriptor, (off_t)offset, (off_t)length);
  if (error != 0) npp_throw_errno(env, error, "posix_fallocate");
  return NULL;
}

/* Whether JavaScript still has the memory under the ArrayBuffer that was made for it. */
static bool is_shown(napi_env env, const struct mapping *mapping) {
  napi_value buffer = NULL;
  bool detached = true;
  if (mapping->descriptor < 0 || !mapping->mapped || napi_get_reference_value(env, mapping->buffer, &buffer) != napi_ok || buffer == NULL) return false;
  return napi_is_detached_arraybuffer(env, buffer, &detached) == napi_ok && !detached;
}

/* Puts the file in the place of what is mapped there; readers find the one or the other, nothing in between. Returns 0 or an errno. */
static int show(const struct mapping *mapping, int descriptor) {
  void *start = mmap(mapping->start, mapping->length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, descriptor, 0);
  return start == MAP_FAILED ? errno : 0;
}

static bool tell_descriptor(napi_env env, napi_value self, const struct mapping *mapping) {
  napi_value number;
  return napi_create_int32(env, mapping->descriptor, &number) == napi_ok && napi_set_named_property(env, self, "descriptor", number) == napi_ok;
}

/* swap(other): each ArrayBuffer, and every view of it, shows the file of the other from now on. Both are as long. */
static napi_value swap_method(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value self, argv[1];
  napi_valuetype type = napi_undefined;
  bool tagged = false;
  void *wrapped = NULL;
  struct mapping *mapping = mapping_of(env, info, &argc, argv);
  if (mapping == NULL) return NULL;
  if (argc < 1 || napi_typeof(env, argv[0], &type) != napi_ok || type != napi_object || napi_check_object_type_tag(env, argv[0], &SHARED_MEMORY, &tagged) != napi_ok || !tagged ||
      napi_unwrap(env, argv[0], &wrapped) != napi_ok)
    return refuse(env, "swap takes a SharedMemory");
  struct mapping *other = wrapped;
  if (!is_shown(env, mapping) || !is_shown(env, other)) {
    napi_throw_error(env, "NPP_SHM_CLOSED", "the shared memory was closed before this use");
    return NULL;
  }
  if (mapping->length != other->length) return refuse(env, "only shared memory of the same length can be swapped");
  int error = show(mapping, other->descriptor);
  if (error == 0) {
    error = show(other, mapping->descriptor);
    /* Both show the same file now; each shows its own again, as far as the system lets it. */
    if (error != 0) (void)show(mapping, mapping->descriptor);
  }
  if (error != 0) {
    npp_throw_errno(env, error, "mmap");
    return NULL;
  }
  int descriptor = mapping->descriptor;
  mapping->descriptor = other->descriptor;
  other->descriptor = descriptor;
  if (napi_get_cb_info(env, info, NULL, NULL, &self, NULL) != napi_ok || !tell_descriptor(env, self, mapping) || !tell_descriptor(env, argv[0], other))
    return npp_fail(env);
  return NULL;
}

/* ---- opening ---- */

/* Returns the descriptor, or -1 with an exception pending; then there is no file that there was not before. */
static int create_file(napi_env env, const char *path, off_t length, off_t reserved) {
  const char *syscall_name = "fchmod";
  int error = 0;
  int descriptor = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, OWNER_ONLY);
  if (descriptor < 0) {
    npp_throw_errno(env, errno, "open");
    return -1;
  }
  /* open subtracts the umask; the mode is meant exactly. */
  if (fchmod(descriptor, OWNER_ONLY) != 0) {
    error = errno;
  } else if (ftruncate(descriptor, length) != 0) {
    error = errno;
    syscall_name = "ftruncate";
  } else {
    error = reserve(descriptor, 0, reserved);
    syscall_name = "posix_fallocate";
  }
  if (error == 0) return descriptor;
  (void)close(descriptor);
  (void)unlink(path);
  npp_throw_errno(env, error, syscall_name);
  return -1;
}

/* What keeps a file from being taken for ours, or NULL. The code of the error goes to `code`. */
static const char *fault_of(const struct stat *status, off_t length, const char **code) {
  *code = "NPP_SHM_PERMISSION";
  if (!S_ISREG(status->st_mode)) return "it is not a regular file";
  if (status->st_uid != geteuid()) return "it belongs to another user";
  if ((status->st_mode & 07777) != OWNER_ONLY) return "its mode is not 0600";
  if (status->st_nlink != 1) return "it has more than one name";
  *code = "NPP_SHM_INVALID";
  if (status->st_size != length) return "it is not as long as it should be";
  return NULL;
}

/* Returns the descriptor, or -1 with an exception pending. */
static int open_file(napi_env env, const char *path, off_t length) {
  struct stat status;
  const char *code;
  /* Non-blocking, so that a FIFO or a device in the place of the file holds nobody up; a regular file knows no difference. */
  int descriptor = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  if (descriptor < 0) {
    npp_throw_errno(env, errno, "open");
    return -1;
  }
  if (fstat(descriptor, &status) != 0) {
    npp_throw_errno(env, errno, "fstat");
  } else if (status.st_nlink == 0) {
    /* Unlinked, or replaced by rename, since it was opened. */
    npp_throw_errno(env, ENOENT, "open");
  } else {
    const char *fault = fault_of(&status, length, &code);
    if (fault == NULL) return descriptor;
    napi_throw_error(env, code, fault);
  }
  (void)close(descriptor);
  return -1;
}

/* Puts `memory`, the ArrayBuffer, and `descriptor` on `self`; from then on the finalizers have the mapping. */
static bool hand_over(napi_env env, napi_value self, struct mapping *mapping) {
  napi_value buffer;
  if (napi_wrap(env, self, mapping, on_collected, NULL, NULL) != napi_ok) return false;
  mapping->wrapped = true;
  if (napi_type_tag_object(env, self, &SHARED_MEMORY) != napi_ok) return false;
  if (napi_create_external_arraybuffer(env, mapping->start, mapping->length, on_buffer_freed, mapping, &buffer) != napi_ok) return false;
  mapping->lent = true;
  return napi_create_reference(env, buffer, 0, &mapping->buffer) == napi_ok && napi_set_named_property(env, self, "memory", buffer) == napi_ok &&
         tell_descriptor(env, self, mapping);
}

/* new SharedMemory(path, length, create, reserved): `reserved` bytes from the start of a file that is created are taken at once. */
static napi_value construct(napi_env env, napi_callback_info info) {
  size_t argc = 4;
  napi_value argv[4], self, target;
  char path[PATH_MAX];
  double length, reserved;
  bool create;
  if (napi_get_cb_info(env, info, &argc, argv, &self, NULL) != napi_ok || napi_get_new_target(env, info, &target) != napi_ok) return npp_fail(env);
  if (target == NULL) return refuse(env, "SharedMemory is a class");
  if (argc < 4 || !read_path(env, argv[0], path)) return refuse(env, "a path is a slash and 1 to 4,094 bytes without a zero");
  /* INT32_MAX is far above any use, and fits into size_t and off_t everywhere. */
  if (!npp_read_integer(env, argv[1], INT32_MAX, &length) || length < 1) return refuse(env, "a length is an integer from 1 to 2,147,483,647");
  if (napi_get_value_bool(env, argv[2], &create) != napi_ok) return refuse(env, "create is a boolean");
  if (!npp_read_integer(env, argv[3], length, &reserved)) return refuse(env, "reserved is an integer from 0 to the length");

  struct mapping *mapping = calloc(1, sizeof *mapping);
  if (mapping == NULL) {
    npp_throw_errno(env, ENOMEM, "malloc");
    return NULL;
  }
  mapping->length = (size_t)length;
  mapping->descriptor = create ? create_file(env, path, (off_t)length, (off_t)reserved) : open_file(env, path, (off_t)length);
  if (mapping->descriptor < 0) {
    free(mapping);
    return NULL;
  }
  mapping->start = mmap(NULL, mapping->length, PROT_READ | PROT_WRITE, MAP_SHARED, mapping->descriptor, 0);
  int error = mapping->start == MAP_FAILED ? errno : 0;
  mapping->mapped = error == 0;
  if (error == 0 && hand_over(env, self, mapping)) return self;

  if (create) (void)unlink(path);
  if (error != 0) {
    npp_throw_errno(env, error, "mmap");
  } else {
    npp_fail(env);
  }
  close_descriptor(mapping);
  /* An ArrayBuffer that was made, though nobody has seen it, still leads to the memory: its finalizer unmaps. */
  if (!mapping->lent) (void)unmap(mapping);
  free_when_unused(mapping);
  return NULL;
}

#define METHOD(title, function) {.utf8name = title, .method = function, .attributes = napi_default_method}

napi_status npp_shm_register(napi_env env, napi_value exports) {
  napi_value class_value;
  const napi_property_descriptor methods[] = {METHOD("reserve", reserve_method), METHOD("swap", swap_method), METHOD("close", close_method)};
  napi_status status =
      napi_define_class(env, "SharedMemory", NAPI_AUTO_LENGTH, construct, NULL, sizeof methods / sizeof methods[0], methods, &class_value);
  return status == napi_ok ? napi_set_named_property(env, exports, "SharedMemory", class_value) : status;
}
