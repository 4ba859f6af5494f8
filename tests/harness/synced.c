/* Preloaded into a server: after each sync of a file it records, in FILE.synced, the length of the file at the beginning
   of the sync. Data beyond that length may be lost in a power loss. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static void record_length(int fd, long long length) {
    char link[64], path[PATH_MAX], number[24];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t end = readlink(link, path, sizeof path - sizeof ".synced");
    if (end < 0)
        return;
    strcpy(path + end, ".synced");
    int record = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (record < 0)
        return;
    /* Syncs may end in another order: the greatest length counts. */
    flock(record, LOCK_EX);
    ssize_t digits = pread(record, number, sizeof number - 1, 0);
    number[digits > 0 ? digits : 0] = 0;
    if (atoll(number) < length) {
        snprintf(number, sizeof number, "%020lld", length);
        if (pwrite(record, number, 20, 0) != 20)
            abort();
    }
    close(record);
}

static int sync_with(const char *name, int fd) {
    int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    struct stat before;
    int known = fstat(fd, &before) == 0 && S_ISREG(before.st_mode);
    int result = next(fd);
    if (known && result == 0)
        record_length(fd, before.st_size);
    return result;
}

int fsync(int fd) { return sync_with("fsync", fd); }
int fdatasync(int fd) { return sync_with("fdatasync", fd); }
