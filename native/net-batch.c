#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net-state.h"
#include "net-sys.h"
#include "value.h"

/* Parts of one connection's output that leave in one send; what is more leaves in the next. */
#define PARTS_MAX 64
/* Events of one connection in one batch: data, ended or drained, closed. */
#define EVENTS_A_TURN 4u

static uint64_t key_of(uint32_t slot, const struct npp_connection *connection) { return ((uint64_t)connection->generation << 32) | slot; }

/* ---- state ---- */

int npp_net_watch(struct npp_net *net, uint32_t slot, struct npp_connection *connection) {
  unsigned int wanted = 0;
  /* Who does not take what we send is not read from either: his further requests would only make more of it. */
  if (connection->first != NULL) {
    wanted = NPP_POLL_WRITE;
  } else if (!(connection->flags & (NPP_CONN_PAUSED | NPP_CONN_PEER_ENDED))) {
    wanted = NPP_POLL_READ;
  }
  int failed = 0;
  if (!(connection->flags & NPP_CONN_WATCHED)) {
    if (wanted == 0) return 0;
    failed = net->poller->kind->add(net->poller, connection->descriptor, key_of(slot, connection), wanted);
  } else if (wanted != connection->armed) {
    failed = net->poller->kind->change(net->poller, connection->descriptor, key_of(slot, connection), wanted);
  } else {
    return 0;
  }
  if (failed == 0) {
    connection->flags |= NPP_CONN_WATCHED;
    connection->armed = (uint8_t)wanted;
  }
  return failed;
}

static void unwatch(struct npp_net *net, struct npp_connection *connection) {
  if (connection->flags & NPP_CONN_WATCHED) net->poller->kind->remove(net->poller, connection->descriptor);
  connection->flags &= (uint8_t)~NPP_CONN_WATCHED;
  connection->armed = 0;
}

void npp_net_close_connection(struct npp_net *net, struct npp_connection *connection) {
  unwatch(net, connection);
  npp_output_drop(net, connection);
  /* close(2): whatever it returns, the descriptor is gone. */
  (void)close(connection->descriptor);
  connection->descriptor = -1;
}

void npp_net_release(struct npp_net *net, uint32_t slot) {
  if (slot >= net->table.touched) return;
  struct npp_connection *connection = &net->table.all[slot];
  if (!(connection->flags & NPP_CONN_USED) || connection->descriptor >= 0) return;
  npp_table_release(&net->table, slot);
}

void npp_net_update_hold(struct npp_net *net) {
  bool active = net->listener_count > 0 || net->table.used > 0;
  uint32_t count;
  if (active == net->active || net->poller == NULL) return;
  net->active = active;
  net->poller->kind->hold(net->poller, active);
  /* Both fail only while the environment goes away, and with it the object. */
  if (active) {
    (void)napi_reference_ref(net->env, net->self, &count);
  } else {
    (void)napi_reference_unref(net->env, net->self, &count);
  }
}

/* Ends our side once all is sent. 0, or -1 when the connection is now closed, with *error. */
static int end_when_sent(struct npp_net *net, struct npp_connection *connection, int *error) {
  if (connection->first != NULL || !(connection->flags & NPP_CONN_ENDING) || (connection->flags & NPP_CONN_SHUT)) return 0;
  connection->flags |= NPP_CONN_SHUT;
  *error = shutdown(connection->descriptor, SHUT_WR) == 0 ? 0 : errno;
  if (*error == 0 && !(connection->flags & NPP_CONN_PEER_ENDED)) return 0;
  npp_net_close_connection(net, connection);
  return -1;
}

/* ---- telling ---- */

/* An exception of a listener ends up where one of a timer does: at 'uncaughtException'. */
static void report_exception(napi_env env) {
  bool pending = false;
  napi_value thrown;
  if (napi_is_exception_pending(env, &pending) != napi_ok || !pending) return;
  if (napi_get_and_clear_last_exception(env, &thrown) != napi_ok) return;
  (void)napi_fatal_exception(env, thrown);
}

/* `onBatch`, which is looked up once. The reference is weak, as the object has it: a strong one would keep both alive for ever. */
static bool listener_of(struct npp_net *net, napi_value self, napi_value *listener) {
  napi_env env = net->env;
  if (net->listener != NULL && napi_get_reference_value(env, net->listener, listener) == napi_ok && *listener != NULL) return true;
  if (napi_get_named_property(env, self, "onBatch", listener) != napi_ok) return false;
  if (net->listener != NULL && napi_delete_reference(env, net->listener) != napi_ok) return false;
  net->listener = NULL;
  return napi_create_reference(env, *listener, 0, &net->listener) == napi_ok;
}

/*
 * Calls onBatch(count, again), which asks for further batches by itself, and once more for each listener that threw, of an event or of the
 * turn's beginning: it goes on behind that one.
 */
static void deliver(struct npp_net *net, napi_value self) {
  napi_env env = net->env;
  napi_value listener, result, arguments[2];
  uint32_t batch = net->batches, tries = 0;
  bool again = false;
  if (!listener_of(net, self, &listener)) {
    report_exception(env);
    return;
  }
  while (net->owner != NULL && tries <= net->event_count + 1) {
    if (napi_create_uint32(env, net->event_count, &arguments[0]) != napi_ok || napi_get_boolean(env, again, &arguments[1]) != napi_ok) return;
    /* No async context: a connection belongs to none, and must not inherit the one in which the addon happened to be loaded. */
    if (napi_make_callback(env, NULL, self, listener, 2, arguments, &result) == napi_ok) return;
    report_exception(env);
    again = true;
    tries = net->batches == batch ? tries + 1 : 0;
    batch = net->batches;
  }
}

void npp_net_tell(struct npp_net *net, uint32_t slot, enum npp_event kind, int32_t offset, int32_t length) {
  int32_t *event = net->events + (size_t)net->event_count * NPP_EVENT_INTS;
  event[0] = (int32_t)slot;
  event[1] = (int32_t)kind;
  event[2] = offset;
  event[3] = length;
  net->event_count++;
}

/* ---- reading ---- */

static void fail(struct npp_net *net, uint32_t slot, struct npp_connection *connection, int error) {
  npp_net_close_connection(net, connection);
  npp_net_tell(net, slot, NPP_CLOSED, error, 0);
}

/* Has a poller that tells once tell of this connection again. */
static void read_again(struct npp_net *net, uint32_t slot, struct npp_connection *connection) {
  if (!net->poller->kind->tells_once) return;
  int failed = net->poller->kind->change(net->poller, connection->descriptor, key_of(slot, connection), connection->armed);
  if (failed < 0) fail(net, slot, connection, -failed);
}

static void read_some(struct npp_net *net, uint32_t slot, struct npp_connection *connection, unsigned int events) {
  uint8_t *into = net->arena + net->arena_used;
  ssize_t got = -1;
  for (int tries = 0; tries < NPP_EINTR_TRIES && got < 0; tries++) {
    got = npp_recv(connection->descriptor, into, NPP_READ_BYTES, 0);
    if (got < 0 && errno != EINTR) break;
  }
  if (got > 0) {
    int32_t offset = (int32_t)net->arena_used;
    net->arena_used += (size_t)got;
    npp_net_tell(net, slot, NPP_DATA, offset, (int32_t)got);
    /* epoll(7): less than there was room for means that nothing is left, but for an end, and where urgent data cut the read short. */
    if (got == NPP_READ_BYTES || (events & NPP_POLL_MORE)) read_again(net, slot, connection);
  } else if (got == 0) {
    connection->flags |= NPP_CONN_PEER_ENDED;
    npp_net_tell(net, slot, NPP_ENDED, 0, 0);
    if (connection->flags & NPP_CONN_SHUT) {
      fail(net, slot, connection, 0);
    } else {
      int failed = npp_net_watch(net, slot, connection);
      if (failed < 0) fail(net, slot, connection, -failed);
    }
  } else if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
    read_again(net, slot, connection);
  } else {
    fail(net, slot, connection, errno);
  }
}

static void write_more(struct npp_net *net, uint32_t slot, struct npp_connection *connection, bool fault) {
  int error = 0;
  enum npp_sent sent = npp_output_resume(net, connection, &error);
  if (sent == NPP_SENT_FAILED) {
    fail(net, slot, connection, error);
    return;
  }
  if (sent == NPP_SENT_SOME) {
    socklen_t size = sizeof error;
    if (fault && getsockopt(connection->descriptor, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error != 0) fail(net, slot, connection, error);
    return;
  }
  npp_net_tell(net, slot, NPP_DRAINED, 0, 0);
  if (end_when_sent(net, connection, &error) < 0) {
    npp_net_tell(net, slot, NPP_CLOSED, error, 0);
    return;
  }
  int failed = npp_net_watch(net, slot, connection);
  if (failed < 0) fail(net, slot, connection, -failed);
}

/* An error or a hang-up on a connection of which nothing is wanted: closed by an error, else left alone until something is wanted. */
static void look_at_fault(struct npp_net *net, uint32_t slot, struct npp_connection *connection) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(connection->descriptor, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error != 0) {
    fail(net, slot, connection, error);
  } else {
    unwatch(net, connection);
  }
}

static void serve(struct npp_net *net, const struct npp_ready *ready) {
  struct npp_connection *connection = npp_table_open_at(&net->table, (uint32_t)ready->key);
  if (connection == NULL || connection->generation != (uint32_t)(ready->key >> 32)) return;
  uint32_t slot = (uint32_t)ready->key;
  bool fault = (ready->events & NPP_POLL_FAULT) != 0;
  if (connection->armed & NPP_POLL_WRITE) {
    if (fault || (ready->events & NPP_POLL_WRITE)) write_more(net, slot, connection, fault);
  } else if (connection->armed & NPP_POLL_READ) {
    if (fault || (ready->events & NPP_POLL_READ)) read_some(net, slot, connection, ready->events);
  } else if (fault) {
    look_at_fault(net, slot, connection);
  }
}

bool npp_net_has_room(const struct npp_net *net) {
  return NPP_ARENA_BYTES - net->arena_used >= NPP_READ_BYTES && NPP_EVENTS_MAX - net->event_count > EVENTS_A_TURN;
}

uint32_t npp_net_fill(struct npp_net *net) {
  if (!net->telling) return 0;
  net->event_count = 0;
  net->arena_used = 0;
  net->batches++;
  for (;;) {
    while (net->ready_at < net->ready_count) {
      /* What is left has its turn with the next batch. */
      if (!npp_net_has_room(net)) return net->event_count;
      const struct npp_ready *ready = &net->ready[net->ready_at++];
      if (npp_net_is_door(ready->key)) {
        npp_net_door_ready(net, ready->key);
      } else {
        serve(net, ready);
      }
    }
    if (net->event_count > 0) return net->event_count;
    net->ready_at = 0;
    net->ready_count = net->poller->kind->take(net->poller, net->ready, NPP_READY_MAX);
    if (net->ready_count == 0) return 0;
  }
}

void npp_net_ready(void *data) {
  struct npp_net *net = data;
  napi_handle_scope scope;
  napi_value self;
  napi_env env = net->env;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  /* The handle scope holds `self`, and with it `net`, until it is closed below, whatever the listener does. */
  if (napi_get_reference_value(env, net->self, &self) == napi_ok && self != NULL) {
    net->telling = true;
    if (npp_net_fill(net) > 0) deliver(net, self);
    net->telling = false;
    net->event_count = 0;
    if (net->owner != NULL) net->poller->kind->done(net->poller);
  }
  (void)napi_close_handle_scope(env, scope);
}

/* ---- commands ---- */

static void note(struct npp_net *net, uint32_t *outcomes, uint32_t slot, enum npp_event kind, int error) {
  int32_t *outcome = net->outcomes + (size_t)*outcomes * NPP_OUTCOME_INTS;
  outcome[0] = (int32_t)slot;
  outcome[1] = (int32_t)kind;
  outcome[2] = error;
  (*outcomes)++;
}

/* The parts of one connection's output, chained by the index of the next command; those behind the first are done with it. */
static int gather(struct npp_net *net, uint32_t count, uint32_t index, struct iovec *parts) {
  int found = 0;
  const int32_t *first = net->commands + (size_t)index * NPP_COMMAND_INTS;
  for (;;) {
    int32_t *command = net->commands + (size_t)index * NPP_COMMAND_INTS;
    uint32_t offset = (uint32_t)command[2], length = (uint32_t)command[3];
    if (offset > NPP_OUTPUT_BYTES || length > NPP_OUTPUT_BYTES - offset) return found;
    parts[found++] = (struct iovec){.iov_base = net->output + offset, .iov_len = length};
    if (command != first) command[0] = NPP_SKIP;
    uint32_t next = (uint32_t)command[4];
    if (found == PARTS_MAX || next <= index || next >= count) return found;
    const int32_t *following = net->commands + (size_t)next * NPP_COMMAND_INTS;
    if (following[0] != NPP_WRITE || following[1] != first[1]) return found;
    index = next;
  }
}

uint32_t npp_net_execute(struct npp_net *net, uint32_t count) {
  struct iovec parts[PARTS_MAX];
  uint32_t outcomes = 0;
  bool released = false;
  for (uint32_t index = 0; index < count; index++) {
    const int32_t *command = net->commands + (size_t)index * NPP_COMMAND_INTS;
    uint32_t slot = (uint32_t)command[1];
    int error = 0, failed = 0;
    if (command[0] == NPP_RELEASE) {
      npp_net_release(net, slot);
      released = true;
      continue;
    }
    struct npp_connection *connection = npp_table_open_at(&net->table, slot);
    if (connection == NULL) continue;
    switch (command[0]) {
      case NPP_WRITE: {
        int found = gather(net, count, index, parts);
        if (found == 0 || (connection->flags & NPP_CONN_ENDING)) break;
        bool was_stalled = connection->first != NULL;
        enum npp_sent sent = npp_output_copy(net, connection, parts, found, &error);
        if (sent == NPP_SENT_ALL) break;
        if (sent == NPP_SENT_FAILED) {
          npp_net_close_connection(net, connection);
          note(net, &outcomes, slot, NPP_CLOSED, error);
          continue;
        }
        if (!was_stalled) note(net, &outcomes, slot, NPP_STALLED, 0);
        failed = npp_net_watch(net, slot, connection);
        break;
      }
      case NPP_END:
        connection->flags |= NPP_CONN_ENDING;
        if (end_when_sent(net, connection, &error) < 0) {
          note(net, &outcomes, slot, NPP_CLOSED, error);
          continue;
        }
        break;
      case NPP_DESTROY:
        npp_net_close_connection(net, connection);
        continue;
      case NPP_PAUSE:
        connection->flags |= NPP_CONN_PAUSED;
        failed = npp_net_watch(net, slot, connection);
        break;
      case NPP_RESUME:
        connection->flags &= (uint8_t)~NPP_CONN_PAUSED;
        failed = npp_net_watch(net, slot, connection);
        break;
      default:
        break;
    }
    if (failed < 0) {
      npp_net_close_connection(net, connection);
      note(net, &outcomes, slot, NPP_CLOSED, -failed);
    }
  }
  if (released) npp_net_update_hold(net);
  return outcomes;
}
