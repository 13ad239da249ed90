// A disk that can fall sick, between the engine and the system (LD_PRELOAD): writes to files named *.spool and syncfs()
// do what sick_disk_*() ordered. Remembers how much of each file was synced, and can lose the rest as a power cut does.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FILES = 64, PATH_BYTES = 4096 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    char path[PATH_BYTES];
    off_t written, synced;
} files[MAX_FILES];
static int known;
static volatile int refusal;         // errno that writes fail with
static volatile double stalled_until;  // CLOCK_MONOTONIC

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void wait_for_disk(void) {
    while (now() < stalled_until) usleep(10000);
}

static int path_of(int fd, char* path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t size = readlink(link, path, PATH_BYTES - 1);
    if (size < 6) return 0;
    path[size] = 0;
    return strcmp(path + size - 6, ".spool") == 0;
}

static void remember(const char* path, ssize_t octets) {
    int file = 0;
    while (file < known && strcmp(files[file].path, path) != 0) ++file;
    if (file == MAX_FILES) return;
    if (file == known) strcpy(files[known++].path, path);
    files[file].written += octets;
}

ssize_t write(int fd, const void* data, size_t size) {
    static ssize_t (*real)(int, const void*, size_t);
    if (!real) real = (ssize_t(*)(int, const void*, size_t))dlsym(RTLD_NEXT, "write");
    char path[PATH_BYTES];
    const int error = errno;
    if (!path_of(fd, path)) {
        errno = error;
        return real(fd, data, size);
    }
    wait_for_disk();
    if (refusal != 0) {
        errno = refusal;
        return -1;
    }
    pthread_mutex_lock(&lock);  // for ever, once the power is cut
    const ssize_t written = real(fd, data, size);
    if (written > 0) remember(path, written);
    pthread_mutex_unlock(&lock);
    return written;
}

// The real one is not called: the disk that it would flush belongs to others. What was written before the call counts as
// synced behind it.
int syncfs(int fd) {
    (void)fd;
    off_t before[MAX_FILES];
    pthread_mutex_lock(&lock);
    const int count = known;
    for (int file = 0; file < count; ++file) before[file] = files[file].written;
    pthread_mutex_unlock(&lock);
    wait_for_disk();
    usleep(20000);  // as a disk that is not idle
    pthread_mutex_lock(&lock);
    for (int file = 0; file < count; ++file) files[file].synced = before[file];
    pthread_mutex_unlock(&lock);
    return 0;
}

void sick_disk_stall(double seconds) { stalled_until = now() + seconds; }

void sick_disk_refuse(int error) { refusal = error; }

// Of each file what was synced is left; behind it nothing, or as many zeros as had been written.
void sick_disk_cut_power(int leave_zeros) {
    pthread_mutex_lock(&lock);
    for (int file = 0; file < known; ++file) {
        if (truncate(files[file].path, files[file].synced) != 0) perror("truncate");
        if (leave_zeros && truncate(files[file].path, files[file].written) != 0) perror("truncate");
    }
    kill(getpid(), SIGKILL);
}
