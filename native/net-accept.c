#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net-state.h"

/* Connections taken from one listener before the others, and the connections that are open, have their turn. */
#define BURST 256
/* Keys of listeners have this bit, which no slot has. */
#define LISTENER_BIT ((uint64_t)1 << 31)

uint64_t npp_net_listener_key(uint32_t index) { return LISTENER_BIT | index; }

bool npp_net_is_door(uint64_t key) { return (key & (LISTENER_BIT | NPP_LINGERING_BIT)) != 0; }

void npp_net_open_spare(struct npp_net *net) {
  if (net->spare < 0) net->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int accept_one(int listener) { return accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC); }

/* Gives the spare descriptor to the connection that waits, refuses it, and takes the spare back. False when there was no spare. */
static bool refuse_with_spare(struct npp_net *net, int listener) {
  if (net->spare < 0) return false;
  (void)close(net->spare);
  net->spare = -1;
  int descriptor = accept_one(listener);
  if (descriptor >= 0) npp_net_refuse(net, descriptor, false);
  npp_net_open_spare(net);
  return descriptor >= 0 && net->spare >= 0;
}

static void give_up_for_now(struct npp_net *net, int error) {
  for (uint32_t index = 0; index < net->listener_count; index++) {
    struct npp_listener *listener = &net->listeners[index];
    if (listener->watched) net->poller->kind->remove(net->poller, listener->descriptor);
    listener->watched = false;
  }
  npp_net_tell(net, 0, NPP_EXHAUSTED, error, 0);
}

static void take_in(struct npp_net *net, int descriptor) {
  int limit = net->poller->kind->descriptor_limit;
  uint32_t slot = limit != 0 && descriptor >= limit ? NPP_NO_SLOT : npp_table_take(&net->table, descriptor);
  if (slot == NPP_NO_SLOT) {
    npp_net_refuse(net, descriptor, true);
    return;
  }
  if (npp_net_watch(net, slot, &net->table.all[slot]) < 0) {
    /* epoll(7): max_user_watches, or no memory. */
    net->table.all[slot].descriptor = -1;
    npp_table_release(&net->table, slot);
    npp_net_refuse(net, descriptor, true);
    return;
  }
  net->counters.accepted++;
  npp_net_tell(net, slot, NPP_OPENED, 0, 0);
}

static void accept_some(struct npp_net *net, uint64_t key) {
  uint32_t index = (uint32_t)(key & (LISTENER_BIT - 1));
  for (int count = 0; count < BURST; count++) {
    /* A listener is told of again while anybody waits; JavaScript may have ended the listening meanwhile. */
    if (!npp_net_has_room(net) || index >= net->listener_count || !net->listeners[index].watched) return;
    int listener = net->listeners[index].descriptor;
    int descriptor = accept_one(listener);
    if (descriptor >= 0) {
      take_in(net, descriptor);
      continue;
    }
    int error = errno;
    switch (error) {
      case EMFILE:
      case ENFILE:
        /* Whoever waits now has more use for a descriptor than those that were refused. */
        if (npp_net_drop_lingering(net) || refuse_with_spare(net, listener)) continue;
        give_up_for_now(net, error);
        return;
      case ENOBUFS:
      case ENOMEM:
        give_up_for_now(net, error);
        return;
      case EAGAIN:
#if EWOULDBLOCK != EAGAIN
      case EWOULDBLOCK:
#endif
        return;
      default:
        /* accept(2): errors of the network that were pending on the new connection. It is gone, and the next may be well. */
        continue;
    }
  }
}

void npp_net_door_ready(struct npp_net *net, uint64_t key) {
  if (key & LISTENER_BIT) {
    accept_some(net, key);
  } else {
    npp_net_lingering_ready(net, key);
  }
}

int npp_net_accept_again(struct npp_net *net) {
  npp_net_open_spare(net);
  for (uint32_t index = 0; index < net->listener_count; index++) {
    struct npp_listener *listener = &net->listeners[index];
    if (listener->watched) continue;
    int failed = net->poller->kind->add(net->poller, listener->descriptor, npp_net_listener_key(index), NPP_POLL_READ | NPP_POLL_LEVEL);
    if (failed < 0) return failed;
    listener->watched = true;
  }
  return 0;
}

/* Takes over the descriptor, and the path, when it returns 0. */
int npp_net_add_listener(struct npp_net *net, int descriptor, char *path) {
  struct stat status;
  if (net->listener_count == NPP_LISTENERS_MAX) return -EMFILE;
  uint32_t index = net->listener_count;
  struct npp_listener listener = {.descriptor = descriptor, .watched = true, .path = path};
  if (path != NULL) {
    if (lstat(path, &status) != 0) return -errno;
    listener.device = status.st_dev;
    listener.inode = status.st_ino;
  }
  int failed = net->poller->kind->add(net->poller, descriptor, npp_net_listener_key(index), NPP_POLL_READ | NPP_POLL_LEVEL);
  if (failed < 0) return failed;
  net->listeners[index] = listener;
  net->listener_count++;
  npp_net_update_hold(net);
  return 0;
}

void npp_net_stop_listening(struct npp_net *net) {
  struct stat status;
  for (uint32_t index = 0; index < net->listener_count; index++) {
    struct npp_listener *listener = &net->listeners[index];
    if (listener->watched) net->poller->kind->remove(net->poller, listener->descriptor);
    (void)close(listener->descriptor);
    if (listener->path == NULL) continue;
    /* Another process may have put its own socket there meanwhile. */
    if (lstat(listener->path, &status) == 0 && status.st_dev == listener->device && status.st_ino == listener->inode) {
      (void)unlink(listener->path);
    }
    free(listener->path);
  }
  net->listener_count = 0;
  npp_net_update_hold(net);
}
