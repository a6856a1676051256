/* What stands for the C library's lookup of names in the static binary, which has a resolver of its own: it finds nothing. */
#define _GNU_SOURCE
#include <netdb.h>

int __wrap_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    (void)name;
    (void)service;
    (void)hints;
    *found = 0;
    return EAI_FAIL;
}

void __wrap_freeaddrinfo(struct addrinfo *found)
{
    (void)found;
}
