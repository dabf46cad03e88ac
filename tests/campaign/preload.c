/* Loaded into gridcwl's processes by LD_PRELOAD: ends one before its n-th system call that changes something, and sets
   the clock of all of them. Calls to pipes and terminals are not counted: they wake threads, in any order. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* The control file: shared by all processes of a trial. */
struct control {
    int64_t clock_ns; /* added to the time of day */
};

static struct control *control;
static long crash_at;
static atomic_long counted;
static pid_t armed;
static char note[PATH_MAX];

static void use_control(const char *path) {
    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    if (descriptor < 0)
        return;
    void *mapped = mmap(NULL, sizeof(struct control), PROT_READ, MAP_SHARED, descriptor, 0);
    close(descriptor);
    if (mapped != MAP_FAILED)
        control = mapped;
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CAMPAIGN_CONTROL");
    if (path != NULL)
        use_control(path);
}

/* Called by the client before it begins. at: end before this call; 0 never. file: gets what that call was. */
void campaign_arm(const char *path, long at, const char *file) {
    use_control(path);
    snprintf(note, sizeof note, "%s", file);
    crash_at = at;
    atomic_store(&counted, 0);
    armed = getpid();
}

long campaign_counted(void) { return atomic_load(&counted); }

static void count(const char *call, const char *path) {
    if (armed == 0 || armed != getpid())
        return;
    if (atomic_fetch_add(&counted, 1) + 1 != crash_at)
        return;
    armed = 0;
    FILE *file = fopen(note, "w");
    if (file != NULL) {
        fprintf(file, "%s %s\n", call, path);
        fclose(file);
    }
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static void count_fd(const char *call, int descriptor) {
    struct stat about;
    char link[64], path[PATH_MAX];
    if (armed == 0 || armed != getpid() || fstat(descriptor, &about) != 0)
        return;
    if (descriptor <= 2 || !(S_ISREG(about.st_mode) || S_ISDIR(about.st_mode) || S_ISSOCK(about.st_mode)))
        return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = '\0';
    count(call, path);
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (real == NULL) \
        real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define OF_PATH(kind, name, parameters, arguments, path) \
    kind name parameters { \
        REAL(name); \
        count(#name, path); \
        return real arguments; \
    }
#define OF_FD(kind, name, parameters, arguments, descriptor) \
    kind name parameters { \
        REAL(name); \
        count_fd(#name, descriptor); \
        return real arguments; \
    }
#define OPENING(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name); \
        mode_t mode = 0; \
        if (flags & (O_CREAT | __O_TMPFILE)) { \
            va_list more; \
            va_start(more, flags); \
            mode = va_arg(more, mode_t); \
            va_end(more); \
        } \
        if (flags & (O_CREAT | O_TRUNC)) \
            count(#name, path); \
        return real(path, flags, mode); \
    }
#define OPENING_AT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        REAL(name); \
        mode_t mode = 0; \
        if (flags & (O_CREAT | __O_TMPFILE)) { \
            va_list more; \
            va_start(more, flags); \
            mode = va_arg(more, mode_t); \
            va_end(more); \
        } \
        if (flags & (O_CREAT | O_TRUNC)) \
            count(#name, path); \
        return real(folder, path, flags, mode); \
    }

OPENING(open)
OPENING(open64)
OPENING_AT(openat)
OPENING_AT(openat64)
OF_FD(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size), fd)
OF_FD(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at), fd)
OF_FD(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at), fd)
OF_FD(ssize_t, writev, (int fd, const struct iovec *parts, int number), (fd, parts, number), fd)
OF_FD(int, fsync, (int fd), (fd), fd)
OF_FD(int, fdatasync, (int fd), (fd), fd)
OF_FD(int, syncfs, (int fd), (fd), fd)
OF_FD(int, ftruncate, (int fd, off_t size), (fd, size), fd)
OF_FD(int, ftruncate64, (int fd, off64_t size), (fd, size), fd)
OF_FD(int, fchmod, (int fd, mode_t mode), (fd, mode), fd)
OF_FD(int, connect, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size), fd)
OF_FD(ssize_t, sendto,
      (int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length),
      (fd, data, size, flags, to, length), fd)
OF_FD(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags), fd)
OF_PATH(int, rename, (const char *from, const char *to), (from, to), to)
OF_PATH(int, renameat, (int one, const char *from, int two, const char *to), (one, from, two, to), to)
OF_PATH(int, link, (const char *from, const char *to), (from, to), to)
OF_PATH(int, linkat, (int one, const char *from, int two, const char *to, int flags), (one, from, two, to, flags), to)
OF_PATH(int, symlink, (const char *text, const char *path), (text, path), path)
OF_PATH(int, symlinkat, (const char *text, int folder, const char *path), (text, folder, path), path)
OF_PATH(int, unlink, (const char *path), (path), path)
OF_PATH(int, unlinkat, (int folder, const char *path, int flags), (folder, path, flags), path)
OF_PATH(int, mkdir, (const char *path, mode_t mode), (path, mode), path)
OF_PATH(int, mkdirat, (int folder, const char *path, mode_t mode), (folder, path, mode), path)
OF_PATH(int, rmdir, (const char *path), (path), path)
OF_PATH(int, chmod, (const char *path, mode_t mode), (path, mode), path)

ssize_t send(int fd, const void *data, size_t size, int flags) {
    REAL(send);
    if (size > 1) /* one byte wakes an event loop */
        count_fd("send", fd);
    return real(fd, data, size, flags);
}

/* The time of day. */
static int64_t offset(void) { return control == NULL ? 0 : control->clock_ns; }

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(clock_gettime);
    int code = real(clock, now);
    if (code == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t all = (int64_t)now->tv_sec * 1000000000 + now->tv_nsec + offset();
        now->tv_sec = all / 1000000000;
        now->tv_nsec = all % 1000000000;
    }
    return code;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &exact) != 0)
        return -1;
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (now != NULL)
        *now = exact.tv_sec;
    return exact.tv_sec;
}
