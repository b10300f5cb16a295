/* A disk that is full, for one process and one directory: preloaded, it refuses to write to files
 * below $FULL_DISK_DIR while the file $FULL_DISK_FLAG exists. The first refusal is torn, as on a
 * real disk: half of it is written. Works without privileges; `full_disk.rs` compiles it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_int torn;

static int full(int fd) {
    const char *dir = getenv("FULL_DISK_DIR"), *flag = getenv("FULL_DISK_FLAG");
    char name[64], path[4096];
    int before = errno;
    if (!dir || !flag) return 0;
    if (access(flag, F_OK) != 0) {
        atomic_store(&torn, 0);
        errno = before;
        return 0;
    }
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(name, path, sizeof path - 1);
    errno = before;
    if (length <= 0) return 0;
    path[length] = 0;
    return strncmp(path, dir, strlen(dir)) == 0;
}

#define REAL(call) __typeof__(call) *real = (__typeof__(call) *)dlsym(RTLD_NEXT, #call)
#define HALF(count) (full(fd) ? ((count) > 1 && !atomic_exchange(&torn, 1) ? (count) / 2 : 0) : (count))
#define NO_ROOM (errno = ENOSPC, -1)

ssize_t write(int fd, const void *bytes, size_t count) {
    REAL(write);
    size_t some = HALF(count);
    return some || !count ? real(fd, bytes, some) : NO_ROOM;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    REAL(pwrite);
    size_t some = HALF(count);
    return some || !count ? real(fd, bytes, some, at) : NO_ROOM;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    REAL(pwrite64);
    size_t some = HALF(count);
    return some || !count ? real(fd, bytes, some, at) : NO_ROOM;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(writev);
    return full(fd) ? NO_ROOM : real(fd, parts, count);
}

ssize_t copy_file_range(int from, off64_t *at, int fd, off64_t *to, size_t count, unsigned flags) {
    REAL(copy_file_range);
    return full(fd) ? NO_ROOM : real(from, at, fd, to, count, flags);
}
