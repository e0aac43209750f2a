#include "net-listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int enable(int descriptor, int level, int option, const char **syscall_name) {
  int on = 1;
  if (setsockopt(descriptor, level, option, &on, sizeof on) == 0) return 0;
  *syscall_name = "setsockopt";
  return errno;
}

static int open_tcp(const struct addrinfo *address, int backlog, int *out, const char **syscall_name) {
  int off = 0;
  *syscall_name = "socket";
  int descriptor = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return errno;
  int error = enable(descriptor, SOL_SOCKET, SO_REUSEADDR, syscall_name);
  /* Linux hands TCP_NODELAY down to each connection that is accepted: one call here instead of one for each. */
  if (error == 0) error = enable(descriptor, IPPROTO_TCP, TCP_NODELAY, syscall_name);
  /* Whatever net.ipv6.bindv6only says. */
  if (error == 0 && address->ai_family == AF_INET6 && setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) != 0) error = errno;
  if (error == 0 && bind(descriptor, address->ai_addr, address->ai_addrlen) != 0) {
    error = errno;
    *syscall_name = "bind";
  }
  if (error == 0 && listen(descriptor, backlog) != 0) {
    error = errno;
    *syscall_name = "listen";
  }
  if (error != 0) {
    (void)close(descriptor);
    return error;
  }
  *out = descriptor;
  return 0;
}

int npp_listen_tcp(const char *host, uint16_t port, int backlog, int *descriptor, const char **syscall_name) {
  const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE, .ai_socktype = SOCK_STREAM};
  struct addrinfo *found = NULL;
  char service[8];
  (void)snprintf(service, sizeof service, "%u", port);
  *syscall_name = "getaddrinfo";
  int failed = getaddrinfo(host, service, &hints, &found);
  if (failed != 0) return failed == EAI_SYSTEM ? errno : failed == EAI_MEMORY ? ENOMEM : EADDRNOTAVAIL;
  int error = open_tcp(found, backlog, descriptor, syscall_name);
  freeaddrinfo(found);
  return error;
}

/* Removes the socket file when nobody listens on it. 0, or EADDRINUSE. */
static int remove_stale(const struct sockaddr_un *address) {
  struct stat status;
  if (lstat(address->sun_path, &status) != 0) return errno == ENOENT ? 0 : EADDRINUSE;
  if (!S_ISSOCK(status.st_mode)) return EADDRINUSE;
  int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (probe < 0) return errno;
  /* unix(7): ECONNREFUSED is a socket that nobody listens on; a full backlog is EAGAIN. */
  bool stale = connect(probe, (const struct sockaddr *)address, sizeof *address) != 0 && errno == ECONNREFUSED;
  (void)close(probe);
  if (!stale) return EADDRINUSE;
  return unlink(address->sun_path) == 0 || errno == ENOENT ? 0 : errno;
}

int npp_listen_unix(const char *path, mode_t mode, int backlog, int *out, const char **syscall_name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  *syscall_name = "bind";
  if (strlen(path) >= sizeof address.sun_path) return ENAMETOOLONG;
  memcpy(address.sun_path, path, strlen(path) + 1);
  int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) {
    *syscall_name = "socket";
    return errno;
  }
  int error = bind(descriptor, (const struct sockaddr *)&address, sizeof address) == 0 ? 0 : errno;
  if (error == EADDRINUSE) {
    error = remove_stale(&address);
    if (error == 0 && bind(descriptor, (const struct sockaddr *)&address, sizeof address) != 0) error = errno;
  }
  bool bound = error == 0;
  /* Before listen nobody can connect, whatever the umask has left open. */
  if (error == 0 && chmod(path, mode) != 0) {
    error = errno;
    *syscall_name = "chmod";
  }
  if (error == 0 && listen(descriptor, backlog) != 0) {
    error = errno;
    *syscall_name = "listen";
  }
  if (error != 0) {
    (void)close(descriptor);
    if (bound) (void)unlink(path);
    return error;
  }
  *out = descriptor;
  return 0;
}

int npp_listen_adopt(int descriptor, const char **syscall_name) {
  int listens = 0, type = 0, domain = 0;
  socklen_t size = sizeof listens;
  *syscall_name = "getsockopt";
  if (getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0) return errno;
  size = sizeof type;
  if (getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) != 0) return errno;
  size = sizeof domain;
  if (getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0) return errno;
  /* accept(2) would say so later, when nobody is there to hear it. */
  if (listens == 0 || type != SOCK_STREAM) return EINVAL;
  *syscall_name = "fcntl";
  int flags = fcntl(descriptor, F_GETFL);
  if (flags < 0 || fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(descriptor, F_SETFD, FD_CLOEXEC) != 0) return errno;
  return domain == AF_UNIX ? 0 : enable(descriptor, IPPROTO_TCP, TCP_NODELAY, syscall_name);
}

bool npp_name_of(int descriptor, bool of_peer, struct npp_name *name) {
  union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
    struct sockaddr_storage storage;
  } address = {.storage = {0}};
  socklen_t size = sizeof address;
  *name = (struct npp_name){.port = 0};
  if ((of_peer ? getpeername(descriptor, &address.any, &size) : getsockname(descriptor, &address.any, &size)) != 0) return false;
  switch (address.any.sa_family) {
    case AF_INET:
      name->port = ntohs(address.v4.sin_port);
      return inet_ntop(AF_INET, &address.v4.sin_addr, name->host, sizeof name->host) != NULL;
    case AF_INET6: {
      name->port = ntohs(address.v6.sin6_port);
      if (inet_ntop(AF_INET6, &address.v6.sin6_addr, name->host, sizeof name->host) == NULL) return false;
      char scope[IF_NAMESIZE];
      /* RFC 4007 §11.2: a link-local address means nothing without its link. */
      if (IN6_IS_ADDR_LINKLOCAL(&address.v6.sin6_addr) && if_indextoname(address.v6.sin6_scope_id, scope) != NULL) {
        size_t length = strlen(name->host);
        (void)snprintf(name->host + length, sizeof name->host - length, "%%%s", scope);
      }
      return true;
    }
    case AF_UNIX: {
      /* A peer may call itself what it likes, even an address. */
      if (of_peer) {
        (void)snprintf(name->host, sizeof name->host, "unix:");
        return true;
      }
      /* Without a name, or with one that begins with a zero (an abstract one), there is no path. */
      size_t length = strnlen(address.local.sun_path, sizeof address.local.sun_path);
      if (size > offsetof(struct sockaddr_un, sun_path)) memcpy(name->host, address.local.sun_path, length);
      return true;
    }
    default:
      return true;
  }
}
