#include "net.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net-listen.h"
#include "net-state.h"
#include "value.h"

/* A slot has fewer than 30 bits, as those above tell listeners and refused ones from connections. */
#define CAPACITY_MAX (1u << 24)
#define REFUSAL_MAX 4096
#define BACKLOG_MAX 65535
/* Up to this many bytes a write behind a stall is copied; a larger one holds the caller's array. */
#define COPY_BYTES (16u * 1024u)
/* `send` says what became of the bytes: as enum npp_sent, and 3 for bytes that wait as a copy. */
#define SENT_COPIED 3

static const struct npp_poller_kind *const kinds[] = {&npp_poller_epoll, &npp_poller_poll, &npp_poller_select};
#define KINDS (sizeof kinds / sizeof kinds[0])

/* One per environment. It outlives its nets' pollers and is freed when the environment's clean-up has seen the last of them go. */
struct npp_net_env {
  napi_env env;
  struct npp_net *first;
  /* Pollers that libuv still knows, those being closed included. */
  size_t pollers;
  napi_async_cleanup_hook_handle ending;
  bool ended;
};

/* ---- arguments ---- */

static napi_value refuse(napi_env env, const char *message) { return npp_refuse(env, "NPP_NET_ARGUMENT", message); }

static napi_value throw_errno(napi_env env, int error, const char *syscall_name) {
  npp_throw_errno(env, error, syscall_name);
  return NULL;
}

static struct npp_net *unless_closed(napi_env env, struct npp_net *net) {
  if (net->owner != NULL) return net;
  napi_throw_error(env, "NPP_NET_CLOSED", "the net was closed before this use");
  return NULL;
}

/* `this` is an instance of Net: V8 refuses a method of the class on anything else, and the constructor wraps or throws. */
static struct npp_net *open_net_of(napi_env env, napi_callback_info info, size_t *argc, napi_value *argv) {
  napi_value self;
  void *wrapped = NULL;
  if (napi_get_cb_info(env, info, argc, argv, &self, NULL) == napi_ok && napi_unwrap(env, self, &wrapped) == napi_ok) return unless_closed(env, wrapped);
  npp_fail(env);
  return NULL;
}

/* Of a function that `bind` made, which saves the look-up of what `this` wraps: several times a batch, it would cost more than the call. */
static struct npp_net *bound_net_of(napi_env env, napi_callback_info info, size_t *argc, napi_value *argv) {
  void *net = NULL;
  if (napi_get_cb_info(env, info, argc, argv, NULL, &net) == napi_ok) return unless_closed(env, net);
  npp_fail(env);
  return NULL;
}

/* Gives `self` a function that knows the net. It holds on to `self`, and so to the net, for as long as anybody has it. */
static bool bind(struct npp_net *net, napi_value self, const char *name, napi_callback callback) {
  napi_value function;
  return napi_create_function(net->env, name, NAPI_AUTO_LENGTH, callback, net, &function) == napi_ok &&
         napi_set_named_property(net->env, function, "net", self) == napi_ok &&
         napi_set_named_property(net->env, self, name, function) == napi_ok;
}

static bool read_text(napi_env env, napi_value value, char *text, size_t room) {
  size_t length;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok || length == 0 || length >= room) return false;
  return napi_get_value_string_utf8(env, value, text, room, &length) == napi_ok && strlen(text) == length;
}

/* The slot in argv[0] and the connection open in it, NULL for one that is gone; false, with an exception, for what is no slot. */
static bool read_slot(struct npp_net *net, size_t argc, const napi_value *argv, uint32_t *slot, struct npp_connection **connection) {
  double number;
  if (argc < 1 || !npp_read_integer(net->env, argv[0], CAPACITY_MAX, &number)) {
    refuse(net->env, "a slot is an integer from 0");
    return false;
  }
  *slot = (uint32_t)number;
  *connection = npp_table_open_at(&net->table, *slot);
  return true;
}

/* ---- closing ---- */

static void finish_end(struct npp_net_env *owner) {
  /* Nothing is left to be done when this fails; the environment is going away. */
  (void)napi_remove_async_cleanup_hook(owner->ending);
  free(owner);
}

static void on_poller_gone(void *data) {
  struct npp_net_env *owner = data;
  owner->pollers--;
  if (owner->ended && owner->pollers == 0) finish_end(owner);
}

static void close_net(struct npp_net *net) {
  struct npp_net_env *owner = net->owner;
  if (owner == NULL) return;
  npp_net_stop_listening(net);
  (void)npp_net_drop_lingering(net);
  for (uint32_t slot = 0; slot < net->table.touched; slot++) {
    struct npp_connection *connection = npp_table_open_at(&net->table, slot);
    if (connection != NULL) npp_net_close_connection(net, connection);
    npp_net_release(net, slot);
  }
  if (!owner->ended) npp_net_update_hold(net);
  if (net->spare >= 0) (void)close(net->spare);
  npp_table_close(&net->table);
  free(net->refusal);
  net->refusal = NULL;
  net->spare = -1;
  struct npp_poller *poller = net->poller;
  net->poller = NULL;
  poller->owner = (struct npp_poller_owner){.ready = npp_net_ready, .gone = on_poller_gone, .data = owner};
  poller->kind->close(poller);
  if (net->previous != NULL) {
    net->previous->next = net->next;
  } else {
    owner->first = net->next;
  }
  if (net->next != NULL) net->next->previous = net->previous;
  net->previous = net->next = NULL;
  net->owner = NULL;
}

static void on_collected(napi_env env, void *data, void *hint) {
  (void)hint;
  struct npp_net *net = data;
  close_net(net);
  if (net->shared != NULL) (void)napi_delete_reference(env, net->shared);
  if (net->self != NULL) (void)napi_delete_reference(env, net->self);
  if (net->listener != NULL) (void)napi_delete_reference(env, net->listener);
  free(net);
}

/* A worker's loop must have no handle left when it ends, and closing one takes a turn of the loop: hence the asynchronous hook. */
static void on_environment_end(napi_async_cleanup_hook_handle handle, void *data) {
  struct npp_net_env *owner = data;
  owner->ending = handle;
  owner->ended = true;
  while (owner->first != NULL) close_net(owner->first);
  if (owner->pollers == 0) finish_end(owner);
}

/* ---- listening ---- */

/* [host, port] of a listener. */
static napi_value name_value(napi_env env, int descriptor) {
  struct npp_name name;
  napi_value pair, host, port;
  if (!npp_name_of(descriptor, false, &name)) return throw_errno(env, errno, "getsockname");
  if (napi_create_array_with_length(env, 2, &pair) != napi_ok || napi_create_string_utf8(env, name.host, NAPI_AUTO_LENGTH, &host) != napi_ok ||
      napi_create_uint32(env, name.port, &port) != napi_ok || napi_set_element(env, pair, 0, host) != napi_ok ||
      napi_set_element(env, pair, 1, port) != napi_ok) {
    return npp_fail(env);
  }
  return pair;
}

/* Takes over the descriptor and the path, also when it fails. */
static napi_value start_listening(struct npp_net *net, int descriptor, char *path, bool is_ours) {
  int limit = net->poller->kind->descriptor_limit;
  int failed = limit != 0 && descriptor >= limit ? -EMFILE : npp_net_add_listener(net, descriptor, path);
  if (failed == 0) return name_value(net->env, descriptor);
  if (is_ours) (void)close(descriptor);
  if (path != NULL) (void)unlink(path);
  free(path);
  if (limit == 0 || descriptor < limit) return throw_errno(net->env, -failed, "listen");
  char message[160];
  (void)snprintf(message, sizeof message,
                 "select watches descriptors below %d (FD_SETSIZE), and the listener's is %d; set polling to epoll or poll", limit, descriptor);
  napi_throw_error(net->env, "EMFILE", message);
  return NULL;
}

/* listen(host, port, backlog) */
static napi_value listen_tcp(napi_env env, napi_callback_info info) {
  size_t argc = 3;
  napi_value argv[3];
  char host[NPP_HOST_BYTES];
  double port, backlog;
  int descriptor;
  const char *syscall_name;
  struct npp_net *net = open_net_of(env, info, &argc, argv);
  if (net == NULL) return NULL;
  if (argc < 3 || !read_text(env, argv[0], host, sizeof host)) return refuse(env, "a host is an address in digits");
  if (!npp_read_integer(env, argv[1], 65535, &port)) return refuse(env, "a port is an integer from 0 to 65535");
  if (!npp_read_integer(env, argv[2], BACKLOG_MAX, &backlog)) return refuse(env, "a backlog is an integer from 0 to 65535");
  int error = npp_listen_tcp(host, (uint16_t)port, (int)backlog, &descriptor, &syscall_name);
  return error == 0 ? start_listening(net, descriptor, NULL, true) : throw_errno(env, error, syscall_name);
}

/* listenUnix(path, mode, backlog) */
static napi_value listen_unix(napi_env env, napi_callback_info info) {
  size_t argc = 3;
  napi_value argv[3];
  char path[4096];
  double mode, backlog;
  int descriptor;
  const char *syscall_name;
  struct npp_net *net = open_net_of(env, info, &argc, argv);
  if (net == NULL) return NULL;
  if (argc < 3 || !read_text(env, argv[0], path, sizeof path)) return refuse(env, "a path is text without a zero");
  if (!npp_read_integer(env, argv[1], 0777, &mode)) return refuse(env, "a mode is an integer from 0 to 0o777");
  if (!npp_read_integer(env, argv[2], BACKLOG_MAX, &backlog)) return refuse(env, "a backlog is an integer from 0 to 65535");
  char *kept = strdup(path);
  if (kept == NULL) return throw_errno(env, ENOMEM, "malloc");
  int error = npp_listen_unix(path, (mode_t)mode, (int)backlog, &descriptor, &syscall_name);
  if (error == 0) return start_listening(net, descriptor, kept, true);
  free(kept);
  return throw_errno(env, error, syscall_name);
}

/* adopt(descriptor) */
static napi_value adopt(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1];
  double descriptor;
  const char *syscall_name;
  struct npp_net *net = open_net_of(env, info, &argc, argv);
  if (net == NULL) return NULL;
  if (argc < 1 || !npp_read_integer(env, argv[0], INT32_MAX, &descriptor)) return refuse(env, "a descriptor is an integer from 0");
  int error = npp_listen_adopt((int)descriptor, &syscall_name);
  return error == 0 ? start_listening(net, (int)descriptor, NULL, false) : throw_errno(env, error, syscall_name);
}

static napi_value stop_listening(napi_env env, napi_callback_info info) {
  size_t argc = 0;
  struct npp_net *net = open_net_of(env, info, &argc, NULL);
  if (net != NULL) npp_net_stop_listening(net);
  return NULL;
}

/* acceptAgain(): after an event of kind NPP_EXHAUSTED, in a while. */
static napi_value accept_again(napi_env env, napi_callback_info info) {
  size_t argc = 0;
  struct npp_net *net = open_net_of(env, info, &argc, NULL);
  if (net == NULL) return NULL;
  int failed = npp_net_accept_again(net);
  return failed == 0 ? NULL : throw_errno(env, -failed, "epoll_ctl");
}

/* sweep(): after an event of kind NPP_LINGERING, in a while; how many refused connections are left to be swept. */
static napi_value sweep(napi_env env, napi_callback_info info) {
  size_t argc = 0;
  struct npp_net *net = open_net_of(env, info, &argc, NULL);
  if (net == NULL) return NULL;
  uint32_t left = npp_net_sweep(net);
  net->sweeping = left > 0;
  return npp_integer_value(env, (int32_t)left);
}

/* ---- connections ---- */

/* execute(count): how many outcomes there are. */
static napi_value execute(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1];
  double count;
  struct npp_net *net = bound_net_of(env, info, &argc, argv);
  if (net == NULL) return NULL;
  if (argc < 1 || !npp_read_integer(env, argv[0], NPP_COMMANDS_MAX, &count)) return refuse(env, "too many commands");
  return npp_integer_value(env, (int32_t)npp_net_execute(net, (uint32_t)count));
}

/* more(): the next batch, in place of the one that onBatch is being told of; how many events it has, 0 for none. */
static napi_value more(napi_env env, napi_callback_info info) {
  size_t argc = 0;
  struct npp_net *net = bound_net_of(env, info, &argc, NULL);
  if (net == NULL) return NULL;
  return npp_integer_value(env, (int32_t)npp_net_fill(net));
}

/* What a direct write comes to: 0 all sent, 1 it waits, 2 the connection is closed, 3 it waits as a copy. */
static napi_value conclude(struct npp_net *net, uint32_t slot, struct npp_connection *connection, enum npp_sent sent, bool is_copy) {
  if (sent == NPP_SENT_SOME && npp_net_watch(net, slot, connection) < 0) sent = NPP_SENT_FAILED;
  if (sent == NPP_SENT_FAILED) npp_net_close_connection(net, connection);
  return npp_integer_value(net->env, sent == NPP_SENT_SOME && is_copy ? SENT_COPIED : (int32_t)sent);
}

/* send(slot, bytes, start, end) */
static napi_value send_bytes(napi_env env, napi_callback_info info) {
  size_t argc = 4, length;
  napi_value argv[4];
  uint8_t *data;
  double start, end;
  uint32_t slot;
  int error;
  struct npp_connection *connection;
  struct npp_net *net = open_net_of(env, info, &argc, argv);
  if (net == NULL || !read_slot(net, argc, argv, &slot, &connection)) return NULL;
  if (argc < 4 || !npp_read_bytes(env, argv[1], &data, &length)) return refuse(env, "what is sent is a Uint8Array");
  if (!npp_read_integer(env, argv[3], (double)length, &end)) return refuse(env, "end is an integer from 0 to the length of the bytes");
  if (!npp_read_integer(env, argv[2], end, &start)) return refuse(env, "start is an integer from 0 to end");
  if (connection == NULL || (connection->flags & NPP_CONN_ENDING)) return npp_integer_value(env, NPP_SENT_ALL);
  bool is_copy = end - start <= COPY_BYTES && connection->copied + (uint64_t)(end - start) <= net->copied_max;
  struct iovec part = {.iov_base = data + (size_t)start, .iov_len = (size_t)(end - start)};
  if (part.iov_len == 0) return npp_integer_value(env, NPP_SENT_ALL);
  enum npp_sent sent = is_copy ? npp_output_copy(net, connection, &part, 1, &error)
                               : npp_output_hold(net, connection, argv[1], data, (size_t)start, (size_t)end, &error);
  return conclude(net, slot, connection, sent, is_copy);
}

/* sendFile(slot, descriptor, offset, length) */
static napi_value send_file(napi_env env, napi_callback_info info) {
  size_t argc = 4;
  napi_value argv[4];
  double file, offset, length;
  uint32_t slot;
  int error;
  struct npp_connection *connection;
  struct npp_net *net = open_net_of(env, info, &argc, argv);
  if (net == NULL || !read_slot(net, argc, argv, &slot, &connection)) return NULL;
  if (argc < 4 || !npp_read_integer(env, argv[1], INT32_MAX, &file)) return refuse(env, "a descriptor is an integer from 0");
  if (!npp_read_integer(env, argv[2], NPP_SAFE_INTEGER, &offset)) return refuse(env, "an offset is an integer from 0");
  if (!npp_read_integer(env, argv[3], NPP_SAFE_INTEGER - offset, &length)) return refuse(env, "a length is an integer from 0");
  if (connection == NULL || (connection->flags & NPP_CONN_ENDING)) return npp_integer_value(env, NPP_SENT_ALL);
  enum npp_sent sent = npp_output_file(net, connection, (int)file, (off_t)offset, (size_t)length, &error);
  return conclude(net, slot, connection, sent, false);
}

/* peer(slot): its address, "unix:" for one of a Unix socket; '' for one that is gone. */
static napi_value peer(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1], text;
  struct npp_name name = {.port = 0};
  uint32_t slot;
  struct npp_connection *connection;
  struct npp_net *net = open_net_of(env, info, &argc, argv);
  if (net == NULL || !read_slot(net, argc, argv, &slot, &connection)) return NULL;
  if (connection != NULL && !npp_name_of(connection->descriptor, true, &name)) name.host[0] = '\0';
  return napi_create_string_utf8(env, name.host, NAPI_AUTO_LENGTH, &text) == napi_ok ? text : npp_fail(env);
}

/* unsent(slot): bytes that wait for the peer to read. */
static napi_value unsent(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1];
  uint32_t slot;
  struct npp_connection *connection;
  struct npp_net *net = open_net_of(env, info, &argc, argv);
  if (net == NULL || !read_slot(net, argc, argv, &slot, &connection)) return NULL;
  return npp_number_value(env, connection == NULL ? 0 : npp_output_unsent(connection));
}

/* detach(slot): the descriptor, which is the caller's from here on; -1 for a connection that is gone or has output unsent. */
static napi_value detach(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1];
  uint32_t slot;
  struct npp_connection *connection;
  struct npp_net *net = open_net_of(env, info, &argc, argv);
  if (net == NULL || !read_slot(net, argc, argv, &slot, &connection)) return NULL;
  if (connection == NULL || connection->first != NULL) return npp_integer_value(env, -1);
  int descriptor = connection->descriptor;
  if (connection->flags & NPP_CONN_WATCHED) net->poller->kind->remove(net->poller, descriptor);
  connection->descriptor = -1;
  return npp_integer_value(env, descriptor);
}

/* counters(): numbers in the order of NetCounters in native/net.ts. */
static napi_value counters(napi_env env, napi_callback_info info) {
  size_t argc = 0;
  napi_value list, value;
  struct npp_net *net = open_net_of(env, info, &argc, NULL);
  if (net == NULL) return NULL;
  const double numbers[] = {net->table.used,       net->table.high_water,        net->counters.accepted,
                            net->counters.refused, net->counters.kept_bytes,      net->counters.held_buffers,
                            net->lingering_count};
  if (napi_create_array(env, &list) != napi_ok) return npp_fail(env);
  for (uint32_t index = 0; index < sizeof numbers / sizeof numbers[0]; index++) {
    if (napi_create_double(env, numbers[index], &value) != napi_ok || napi_set_element(env, list, index, value) != napi_ok) return npp_fail(env);
  }
  return list;
}

/* ---- opening ---- */

/* One ArrayBuffer: arena, output, events, commands, outcomes, in this order. native/net.ts has the same sizes. */
static bool share_memory(struct npp_net *net, napi_value self) {
  const size_t events = (size_t)NPP_EVENTS_MAX * NPP_EVENT_INTS * sizeof(int32_t);
  const size_t commands = (size_t)NPP_COMMANDS_MAX * NPP_COMMAND_INTS * sizeof(int32_t);
  const size_t outcomes = (size_t)NPP_OUTCOMES_MAX * NPP_OUTCOME_INTS * sizeof(int32_t);
  void *memory;
  napi_value buffer;
  if (napi_create_arraybuffer(net->env, NPP_ARENA_BYTES + NPP_OUTPUT_BYTES + events + commands + outcomes, &memory, &buffer) != napi_ok ||
      napi_create_reference(net->env, buffer, 1, &net->shared) != napi_ok || napi_set_named_property(net->env, self, "memory", buffer) != napi_ok) {
    return false;
  }
  net->arena = memory;
  net->output = net->arena + NPP_ARENA_BYTES;
  net->events = (int32_t *)(void *)(net->output + NPP_OUTPUT_BYTES);
  net->commands = net->events + events / sizeof(int32_t);
  net->outcomes = net->commands + commands / sizeof(int32_t);
  return true;
}

static void link_net(struct npp_net_env *owner, struct npp_net *net) {
  net->owner = owner;
  net->next = owner->first;
  if (owner->first != NULL) owner->first->previous = net;
  owner->first = net;
  owner->pollers++;
}

/* new Net(polling, capacity, refusal, buffered): polling 0 epoll, 1 poll, 2 select; buffered: bytes kept as copies for one connection. */
static napi_value construct(napi_env env, napi_callback_info info) {
  size_t argc = 4, length;
  napi_value argv[4], self, target;
  void *data;
  double polling, capacity, buffered;
  uint8_t *refusal;
  uv_loop_t *loop;
  if (napi_get_cb_info(env, info, &argc, argv, &self, &data) != napi_ok || napi_get_new_target(env, info, &target) != napi_ok) return npp_fail(env);
  if (target == NULL) return refuse(env, "Net is a class");
  if (argc < 4 || !npp_read_integer(env, argv[0], KINDS - 1, &polling)) return refuse(env, "polling is 0 to 2");
  if (!npp_read_integer(env, argv[1], CAPACITY_MAX, &capacity) || capacity < 1) return refuse(env, "a capacity is an integer from 1 to 2^24");
  if (!npp_read_bytes(env, argv[2], &refusal, &length) || length > REFUSAL_MAX) return refuse(env, "a refusal is a Uint8Array of up to 4,096 bytes");
  if (!npp_read_integer(env, argv[3], NPP_SAFE_INTEGER, &buffered)) return refuse(env, "bytes kept for a connection are an integer from 0");
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return npp_fail(env);

  struct npp_net *net = calloc(1, sizeof *net);
  if (net == NULL) return throw_errno(env, ENOMEM, "malloc");
  net->env = env;
  net->spare = -1;
  npp_net_open_lingering(net);
  net->refusal = malloc(length + 1);
  net->refusal_bytes = length;
  net->copied_max = (uint64_t)buffered;
  const struct npp_poller_owner hears = {.ready = npp_net_ready, .gone = on_poller_gone, .data = net};
  int failed = net->refusal == NULL || !npp_table_open(&net->table, (uint32_t)capacity) ? -ENOMEM : 0;
  if (failed == 0) failed = kinds[(size_t)polling]->open(loop, &hears, &net->poller);
  if (failed < 0) {
    npp_table_close(&net->table);
    free(net->refusal);
    free(net);
    if (failed != -ERANGE) return throw_errno(env, -failed, kinds[(size_t)polling] == &npp_poller_epoll ? "epoll_create" : "eventfd");
    char message[160];
    (void)snprintf(message, sizeof message,
                   "select watches descriptors below %d (FD_SETSIZE), and this process has all of them in use; set polling to epoll or poll",
                   kinds[(size_t)polling]->descriptor_limit);
    napi_throw_error(env, "EMFILE", message);
    return NULL;
  }
  if (length > 0) memcpy(net->refusal, refusal, length);
  npp_net_open_spare(net);
  link_net(data, net);
  if (share_memory(net, self) && napi_wrap(env, self, net, on_collected, NULL, &net->self) == napi_ok) {
    /* From here on the net is the object's, which is collected when this fails. */
    return bind(net, self, "execute", execute) && bind(net, self, "more", more) ? self : npp_fail(env);
  }
  close_net(net);
  if (net->shared != NULL) (void)napi_delete_reference(env, net->shared);
  free(net);
  return npp_fail(env);
}

/* close(): cuts everything off. Closing twice does nothing. */
static napi_value close_method(napi_env env, napi_callback_info info) {
  napi_value self;
  void *wrapped = NULL;
  if (napi_get_cb_info(env, info, NULL, NULL, &self, NULL) != napi_ok || napi_unwrap(env, self, &wrapped) != napi_ok) return npp_fail(env);
  close_net(wrapped);
  return NULL;
}

#define METHOD(title, function) {.utf8name = title, .method = function, .attributes = napi_default_method}

napi_status npp_net_register(napi_env env, napi_value exports) {
  napi_value net_class;
  struct npp_net_env *owner = calloc(1, sizeof *owner);
  if (owner == NULL) return napi_generic_failure;
  owner->env = env;
  const napi_property_descriptor methods[] = {
      METHOD("listen", listen_tcp),   METHOD("listenUnix", listen_unix),          METHOD("adopt", adopt),
      METHOD("send", send_bytes),     METHOD("stopListening", stop_listening),    METHOD("acceptAgain", accept_again),
      METHOD("sendFile", send_file), METHOD("peer", peer),                      METHOD("unsent", unsent),
      METHOD("sweep", sweep),
      METHOD("detach", detach),       METHOD("counters", counters),               METHOD("close", close_method),
  };
  napi_status status = napi_define_class(env, "Net", NAPI_AUTO_LENGTH, construct, owner, sizeof methods / sizeof methods[0], methods, &net_class);
  if (status == napi_ok) status = napi_set_named_property(env, exports, "Net", net_class);
  if (status == napi_ok) status = napi_add_async_cleanup_hook(env, on_environment_end, owner, NULL);
  if (status != napi_ok) free(owner);
  return status;
}
