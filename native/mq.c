#include "mq.h"

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "mq-open.h"
#include "uv-abi.h"
#include "value.h"

/* mq_overview(7): a slash and up to NAME_MAX bytes, no further slash. */
#define NAME_BYTES 256
/* POSIX.1 promises priorities 0 to 31; Linux has more, npp needs no more. */
#define PRIORITY_MAX 31
/* A non-blocking call is not interrupted in practice; the bound keeps a storm of signals from holding the process here. */
#define EINTR_TRIES 16
struct queue;

/* One per environment. It outlives its queues' poll handles and is freed when the environment's clean-up has closed the last of them. */
struct mq_env {
  napi_env env;
  struct queue *first;
  /* Poll handles that libuv still knows, those being closed included. */
  size_t handles;
  napi_async_cleanup_hook_handle ending;
  bool ended;
};

struct queue {
  /* NULL once the queue is closed: from then on only the finalizer touches this struct. */
  struct mq_env *owner;
  struct queue *previous;
  struct queue *next;
  mqd_t descriptor;
  size_t message_size;
  uv_poll_t *poll;
  /* Weak, but strong while there is interest: the event loop then holds the queue as it holds a socket. */
  napi_ref self;
  int interest;
  int wanted;
  bool telling;
};

/* ---- arguments ---- */

static napi_value refuse(napi_env env, const char *message) { return npp_refuse(env, "NPP_QUEUE_ARGUMENT", message); }

static bool read_name(napi_env env, napi_value value, char *name) {
  size_t length;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok) return false;
  if (length < 2 || length >= NAME_BYTES) return false;
  if (napi_get_value_string_utf8(env, value, name, NAME_BYTES, &length) != napi_ok) return false;
  return name[0] == '/' && strlen(name) == length && strchr(name + 1, '/') == NULL;
}

#define NAME_REFUSED "a queue's name is a slash and 1 to 254 bytes without a slash or a zero"

/* `this` is an instance of Queue: V8 refuses a method of the class on anything else, and the constructor wraps or throws. */
static struct queue *open_queue_of(napi_env env, napi_callback_info info, size_t *argc, napi_value *argv) {
  napi_value self;
  void *wrapped = NULL;
  if (napi_get_cb_info(env, info, argc, argv, &self, NULL) != napi_ok || napi_unwrap(env, self, &wrapped) != napi_ok) {
    npp_fail(env);
    return NULL;
  }
  struct queue *queue = wrapped;
  if (queue->owner == NULL) {
    napi_throw_error(env, "NPP_QUEUE_CLOSED", "the queue was closed before this use");
    return NULL;
  }
  return queue;
}

/*
 * Of a method that has its queue as data: napi_unwrap looks a private property up, which costs more than all the rest of a push besides the
 * system call. `this` says nothing here; the function keeps its queue alive, see own_method.
 */
static struct queue *open_queue_as_data(napi_env env, napi_callback_info info, size_t *argc, napi_value *argv) {
  void *data = NULL;
  if (napi_get_cb_info(env, info, argc, argv, NULL, &data) != napi_ok) {
    npp_fail(env);
    return NULL;
  }
  struct queue *queue = data;
  if (queue->owner == NULL) {
    napi_throw_error(env, "NPP_QUEUE_CLOSED", "the queue was closed before this use");
    return NULL;
  }
  return queue;
}

/* ---- closing ---- */

static void finish_end(struct mq_env *owner) {
  /* Nothing is left to be done when this fails; the environment is going away. */
  (void)napi_remove_async_cleanup_hook(owner->ending);
  free(owner);
}

static void on_poll_closed(uv_handle_t *handle) {
  struct mq_env *owner = uv_handle_get_data(handle);
  free(handle);
  owner->handles--;
  if (owner->ended && owner->handles == 0) finish_end(owner);
}

/* Returns 0 or the errno of mq_close; the queue is closed in either case. */
static int close_queue(struct queue *queue) {
  struct mq_env *owner = queue->owner;
  if (owner == NULL) return 0;
  if (queue->poll != NULL) {
    uv_handle_t *handle = (uv_handle_t *)queue->poll;
    queue->poll = NULL;
    uv_handle_set_data(handle, owner);
    uv_close(handle, on_poll_closed);
  }
  /* libuv, poll.html: the descriptor may be closed at once after uv_close. */
  int error = mq_close(queue->descriptor) == 0 ? 0 : errno;
  queue->descriptor = (mqd_t)-1;
  if (queue->previous != NULL) {
    queue->previous->next = queue->next;
  } else {
    owner->first = queue->next;
  }
  if (queue->next != NULL) queue->next->previous = queue->previous;
  queue->previous = queue->next = NULL;
  queue->owner = NULL;
  if (queue->interest != 0 && !owner->ended) {
    uint32_t count;
    (void)napi_reference_unref(owner->env, queue->self, &count);
  }
  queue->interest = queue->wanted = 0;
  return error;
}

static void on_collected(napi_env env, void *data, void *hint) {
  (void)hint;
  struct queue *queue = data;
  (void)close_queue(queue);
  if (queue->self != NULL) (void)napi_delete_reference(env, queue->self);
  free(queue);
}

/* A worker's loop must have no handle left when it ends, and closing one takes a turn of the loop: hence the asynchronous hook. */
static void on_environment_end(napi_async_cleanup_hook_handle handle, void *data) {
  struct mq_env *owner = data;
  owner->ending = handle;
  owner->ended = true;
  while (owner->first != NULL) (void)close_queue(owner->first);
  if (owner->handles == 0) finish_end(owner);
}

/* ---- readiness ---- */

static void on_poll(uv_poll_t *handle, int status, int events);

/* Returns 0 or a negative errno, as libuv does. */
static int apply_interest(napi_env env, struct queue *queue) {
  int wanted = queue->wanted;
  uint32_t count;
  if (wanted == queue->interest) return 0;
  if (wanted == 0) {
    int stopped = uv_poll_stop(queue->poll);
    if (stopped < 0) return stopped;
    queue->interest = 0;
    return napi_reference_unref(env, queue->self, &count) == napi_ok ? 0 : -EINVAL;
  }
  if (queue->poll == NULL) {
    uv_loop_t *loop;
    if (napi_get_uv_event_loop(env, &loop) != napi_ok) return -EINVAL;
    uv_poll_t *handle = malloc(uv_handle_size(NPP_UV_POLL));
    if (handle == NULL) return -ENOMEM;
    int failed = uv_poll_init(loop, handle, queue->descriptor);
    if (failed < 0) {
      free(handle);
      return failed;
    }
    uv_handle_set_data((uv_handle_t *)handle, queue);
    queue->poll = handle;
    queue->owner->handles++;
  }
  int failed = uv_poll_start(queue->poll, wanted, on_poll);
  if (failed < 0) return failed;
  int before = queue->interest;
  queue->interest = wanted;
  if (before == 0 && napi_reference_ref(env, queue->self, &count) != napi_ok) return -EINVAL;
  return 0;
}

/* An exception of a listener ends up where one of a timer does: at 'uncaughtException'. */
static void report_exception(napi_env env) {
  bool pending = false;
  napi_value thrown;
  if (napi_is_exception_pending(env, &pending) != napi_ok || !pending) return;
  if (napi_get_and_clear_last_exception(env, &thrown) != napi_ok) return;
  (void)napi_fatal_exception(env, thrown);
}

static void on_poll(uv_poll_t *handle, int status, int events) {
  struct queue *queue = uv_handle_get_data((uv_handle_t *)handle);
  napi_env env = queue->owner->env;
  napi_handle_scope scope;
  napi_value self, listener, argument, result;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  /* The handle scope holds `self`, and with it `queue`, until it is closed below, whatever the listener does. */
  if (napi_get_reference_value(env, queue->self, &self) == napi_ok && self != NULL &&
      napi_get_named_property(env, self, "onReady", &listener) == napi_ok &&
      napi_create_int32(env, status < 0 ? status : events, &argument) == napi_ok) {
    /* libuv stops a handle before it tells of an error; the listener may ask for more. */
    if (status < 0) {
      queue->wanted = 0;
      (void)apply_interest(env, queue);
    }
    queue->telling = true;
    /* No async context: a listener belongs to no request, and must not inherit the one in which the addon happened to be loaded. */
    if (napi_make_callback(env, NULL, self, listener, 1, &argument, &result) != napi_ok) report_exception(env);
    queue->telling = false;
    if (queue->owner != NULL) {
      int failed = apply_interest(env, queue);
      if (failed < 0) {
        npp_throw_errno(env, -failed, "epoll_ctl");
        report_exception(env);
      }
    }
  } else {
    report_exception(env);
  }
  (void)napi_close_handle_scope(env, scope);
}

/* setInterest(mask): 1 readable, 2 writable, 0 none. Within onReady the change is made when that returns, once. */
static napi_value set_interest(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1];
  double mask;
  struct queue *queue = open_queue_of(env, info, &argc, argv);
  if (queue == NULL) return NULL;
  if (argc < 1 || !npp_read_integer(env, argv[0], NPP_UV_READABLE | NPP_UV_WRITABLE, &mask)) return refuse(env, "the interest is 0 to 3");
  queue->wanted = (int)mask;
  if (queue->telling) return NULL;
  int failed = apply_interest(env, queue);
  if (failed < 0) npp_throw_errno(env, -failed, "epoll_ctl");
  return NULL;
}

/* ---- messages ---- */

/* push(bytes, start, end, priority) */
static napi_value push(napi_env env, napi_callback_info info) {
  size_t argc = 4, length;
  napi_value argv[4];
  uint8_t *data;
  double start, end, priority;
  struct queue *queue = open_queue_as_data(env, info, &argc, argv);
  if (queue == NULL) return NULL;
  if (argc < 4 || !npp_read_bytes(env, argv[0], &data, &length)) return refuse(env, "a message is a Uint8Array");
  if (!npp_read_integer(env, argv[2], (double)length, &end)) return refuse(env, "end is an integer from 0 to the length of the bytes");
  if (!npp_read_integer(env, argv[1], end, &start)) return refuse(env, "start is an integer from 0 to end");
  if (!npp_read_integer(env, argv[3], PRIORITY_MAX, &priority)) return refuse(env, "a priority is an integer from 0 to 31");
  size_t bytes = (size_t)(end - start);
  if (bytes > queue->message_size) return refuse(env, "the message is longer than messageSize");
  /* An empty typed array may have no memory, and a null pointer is not a valid argument even for no bytes. */
  const char *from = bytes == 0 ? "" : (const char *)data + (size_t)start;
  for (int tries = 0; tries < EINTR_TRIES; tries++) {
    if (mq_send(queue->descriptor, from, bytes, (unsigned int)priority) == 0) return npp_boolean_value(env, true);
    if (errno == EAGAIN) return npp_boolean_value(env, false);
    if (errno != EINTR) break;
  }
  npp_throw_errno(env, errno, "mq_send");
  return NULL;
}

/* shift(into) */
static napi_value shift(napi_env env, napi_callback_info info) {
  size_t argc = 1, length;
  napi_value argv[1];
  uint8_t *data;
  struct queue *queue = open_queue_as_data(env, info, &argc, argv);
  if (queue == NULL) return NULL;
  if (argc < 1 || !npp_read_bytes(env, argv[0], &data, &length)) return refuse(env, "shift takes a Uint8Array");
  if (length < queue->message_size) return refuse(env, "shift takes an array of messageSize bytes or more");
  for (int tries = 0; tries < EINTR_TRIES; tries++) {
    ssize_t received = mq_receive(queue->descriptor, (char *)data, length, NULL);
    if (received >= 0) return npp_integer_value(env, (int32_t)received);
    if (errno == EAGAIN) return npp_integer_value(env, -1);
    if (errno != EINTR) break;
  }
  npp_throw_errno(env, errno, "mq_receive");
  return NULL;
}

static napi_value count(napi_env env, napi_callback_info info) {
  size_t argc = 0;
  struct mq_attr attributes;
  struct queue *queue = open_queue_of(env, info, &argc, NULL);
  if (queue == NULL) return NULL;
  if (mq_getattr(queue->descriptor, &attributes) == 0) return npp_number_value(env, (double)attributes.mq_curmsgs);
  npp_throw_errno(env, errno, "mq_getattr");
  return NULL;
}

/* ---- locks ---- */

/*
 * fcntl(2), open file description locks: the lock belongs to this opening of the queue, not to the process, and goes with its last
 * descriptor, so that the kernel itself tells when the holder has died. They need no file system; a queue's inode has them too.
 */
static napi_value set_lock(napi_env env, napi_callback_info info, bool locking) {
  size_t argc = 2;
  napi_value argv[2];
  double offset;
  bool exclusive = false;
  struct queue *queue = open_queue_of(env, info, &argc, argv);
  if (queue == NULL) return NULL;
  if (argc < 1 || !npp_read_integer(env, argv[0], NPP_SAFE_INTEGER, &offset)) return refuse(env, "an offset is an integer from 0");
  if (locking && (argc < 2 || napi_get_value_bool(env, argv[1], &exclusive) != napi_ok)) return refuse(env, "exclusive is a boolean");
  struct flock range = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = (off_t)offset, .l_len = 1};
  if (locking) range.l_type = exclusive ? F_WRLCK : F_RDLCK;
  for (int tries = 0; tries < EINTR_TRIES; tries++) {
    if (fcntl(queue->descriptor, F_OFD_SETLK, &range) == 0) return npp_boolean_value(env, true);
    if (locking && (errno == EAGAIN || errno == EACCES)) return npp_boolean_value(env, false);
    if (errno != EINTR) break;
  }
  npp_throw_errno(env, errno, "fcntl");
  return NULL;
}

static napi_value lock(napi_env env, napi_callback_info info) { return set_lock(env, info, true); }

static napi_value unlock(napi_env env, napi_callback_info info) { return set_lock(env, info, false); }

/* lockedIn(from, to): both ends included; to = 0 is the end of all offsets. */
static napi_value locked_in(napi_env env, napi_callback_info info) {
  size_t argc = 2;
  napi_value argv[2];
  double from, to;
  struct queue *queue = open_queue_of(env, info, &argc, argv);
  if (queue == NULL) return NULL;
  if (argc < 2 || !npp_read_integer(env, argv[0], NPP_SAFE_INTEGER, &from)) return refuse(env, "an offset is an integer from 0");
  if (!npp_read_integer(env, argv[1], NPP_SAFE_INTEGER, &to) || (to != 0 && to < from)) return refuse(env, "the last offset is 0 or not below the first");
  struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)from, .l_len = to == 0 ? 0 : (off_t)(to - from) + 1};
  if (fcntl(queue->descriptor, F_OFD_GETLK, &range) != 0) {
    npp_throw_errno(env, errno, "fcntl");
    return NULL;
  }
  return npp_number_value(env, range.l_type == F_UNLCK ? -1 : (double)range.l_start);
}

/* ---- names ---- */

/* isCurrent(name): whether the name leads to this very queue, or has been unlinked or given to another. */
static napi_value is_current(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1];
  char name[NAME_BYTES];
  struct stat ours, named;
  struct queue *queue = open_queue_of(env, info, &argc, argv);
  if (queue == NULL) return NULL;
  if (argc < 1 || !read_name(env, argv[0], name)) return refuse(env, NAME_REFUSED);
  mqd_t other = mq_open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (other == (mqd_t)-1) {
    /* A queue that we may not even read is not the one that we have open for reading and writing. */
    if (errno == ENOENT || errno == EACCES) return npp_boolean_value(env, false);
    npp_throw_errno(env, errno, "mq_open");
    return NULL;
  }
  int error = fstat(queue->descriptor, &ours) == 0 && fstat(other, &named) == 0 ? 0 : errno;
  if (mq_close(other) != 0 && error == 0) error = errno;
  if (error != 0) {
    npp_throw_errno(env, error, "fstat");
    return NULL;
  }
  return npp_boolean_value(env, ours.st_dev == named.st_dev && ours.st_ino == named.st_ino);
}

/* unlinkQueue(name) */
static napi_value unlink_queue(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1];
  char name[NAME_BYTES];
  if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok) return npp_fail(env);
  if (argc < 1 || !read_name(env, argv[0], name)) return refuse(env, NAME_REFUSED);
  if (mq_unlink(name) == 0) return npp_boolean_value(env, true);
  if (errno == ENOENT) return npp_boolean_value(env, false);
  npp_throw_errno(env, errno, "mq_unlink");
  return NULL;
}

/* ---- opening ---- */

static napi_status set_number(napi_env env, napi_value object, const char *name, double number) {
  napi_value value;
  napi_status status = napi_create_double(env, number, &value);
  return status == napi_ok ? napi_set_named_property(env, object, name, value) : status;
}

/* A method of this one queue. Who keeps the function keeps the queue: it must not be collected while its methods can be called. */
static napi_status own_method(napi_env env, napi_value self, const char *name, napi_callback callback, struct queue *queue) {
  napi_value method;
  napi_status status = napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, queue, &method);
  if (status == napi_ok) status = napi_set_named_property(env, method, "queue", self);
  return status == napi_ok ? napi_set_named_property(env, self, name, method) : status;
}

/* new Queue(name, flags, mode, maxMessages, messageSize) */
static napi_value construct(napi_env env, napi_callback_info info) {
  size_t argc = 5;
  napi_value argv[5], self, target, created_value;
  void *data;
  char name[NAME_BYTES];
  double flags, mode, max_messages, message_size;
  if (napi_get_cb_info(env, info, &argc, argv, &self, &data) != napi_ok || napi_get_new_target(env, info, &target) != napi_ok) return npp_fail(env);
  struct mq_env *owner = data;
  if (target == NULL) return refuse(env, "Queue is a class");
  if (argc < 5 || !read_name(env, argv[0], name)) return refuse(env, NAME_REFUSED);
  if (!npp_read_integer(env, argv[1], NPP_MQ_CREATE | NPP_MQ_EXCLUSIVE, &flags)) return refuse(env, "the flags are 0 to 3");
  if (!npp_read_integer(env, argv[2], 0777, &mode)) return refuse(env, "a mode is an integer from 0 to 0o777");
  if (!npp_read_integer(env, argv[3], INT32_MAX, &max_messages) || !npp_read_integer(env, argv[4], INT32_MAX, &message_size)) {
    return refuse(env, "maxMessages and messageSize are integers");
  }
  if (((unsigned int)flags & NPP_MQ_CREATE) && (max_messages < 1 || message_size < 1)) {
    return refuse(env, "maxMessages and messageSize are 1 or more");
  }

  struct mq_attr attributes = {.mq_flags = 0, .mq_maxmsg = (long)max_messages, .mq_msgsize = (long)message_size};
  mqd_t descriptor = (mqd_t)-1;
  bool created = false;
  const char *syscall_name;
  struct stat status;
  int error = npp_mq_open(name, (unsigned int)flags, (mode_t)mode, &attributes, &descriptor, &created, &syscall_name);
  if (error != 0) {
    npp_throw_errno(env, error, syscall_name);
    return NULL;
  }

  struct queue *queue = calloc(1, sizeof *queue);
  if (queue == NULL) {
    error = ENOMEM;
    syscall_name = "malloc";
  } else if (mq_getattr(descriptor, &attributes) != 0) {
    error = errno;
    syscall_name = "mq_getattr";
  } else if (fstat(descriptor, &status) != 0) {
    error = errno;
    syscall_name = "fstat";
  }
  if (error == 0) {
    queue->descriptor = descriptor;
    queue->message_size = (size_t)attributes.mq_msgsize;
    if (set_number(env, self, "descriptor", (double)descriptor) == napi_ok && set_number(env, self, "ownerUid", (double)status.st_uid) == napi_ok &&
        set_number(env, self, "maxMessages", (double)attributes.mq_maxmsg) == napi_ok &&
        set_number(env, self, "messageSize", (double)attributes.mq_msgsize) == napi_ok &&
        napi_get_boolean(env, created, &created_value) == napi_ok && napi_set_named_property(env, self, "created", created_value) == napi_ok &&
        own_method(env, self, "push", push, queue) == napi_ok && own_method(env, self, "shift", shift, queue) == napi_ok &&
        napi_wrap(env, self, queue, on_collected, NULL, &queue->self) == napi_ok) {
      queue->owner = owner;
      queue->next = owner->first;
      if (owner->first != NULL) owner->first->previous = queue;
      owner->first = queue;
      return self;
    }
  }
  free(queue);
  (void)mq_close(descriptor);
  if (created) (void)mq_unlink(name);
  if (error != 0) {
    npp_throw_errno(env, error, syscall_name);
    return NULL;
  }
  return npp_fail(env);
}

/* close(): closing twice does nothing. */
static napi_value close_method(napi_env env, napi_callback_info info) {
  napi_value self;
  void *wrapped = NULL;
  if (napi_get_cb_info(env, info, NULL, NULL, &self, NULL) != napi_ok || napi_unwrap(env, self, &wrapped) != napi_ok) return npp_fail(env);
  int error = close_queue(wrapped);
  if (error != 0) npp_throw_errno(env, error, "mq_close");
  return NULL;
}

#define METHOD(title, function) {.utf8name = title, .method = function, .attributes = napi_default_method}

napi_status npp_mq_register(napi_env env, napi_value exports) {
  napi_value queue_class, unlink_function;
  struct mq_env *owner = calloc(1, sizeof *owner);
  if (owner == NULL) return napi_generic_failure;
  owner->env = env;
  const napi_property_descriptor methods[] = {
      METHOD("count", count),        METHOD("setInterest", set_interest), METHOD("lock", lock),          METHOD("unlock", unlock),
      METHOD("lockedIn", locked_in), METHOD("isCurrent", is_current),     METHOD("close", close_method),
  };
  napi_status status =
      napi_define_class(env, "Queue", NAPI_AUTO_LENGTH, construct, owner, sizeof methods / sizeof methods[0], methods, &queue_class);
  if (status == napi_ok) status = napi_create_function(env, "unlinkQueue", NAPI_AUTO_LENGTH, unlink_queue, NULL, &unlink_function);
  if (status == napi_ok) status = napi_set_named_property(env, exports, "Queue", queue_class);
  if (status == napi_ok) status = napi_set_named_property(env, exports, "unlinkQueue", unlink_function);
  if (status == napi_ok) status = napi_add_async_cleanup_hook(env, on_environment_end, owner, NULL);
  if (status != napi_ok) free(owner);
  return status;
}
