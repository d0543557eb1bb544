/* A layer between a program and the C library, loaded by LD_PRELOAD, for calls on paths below one folder.
 *
 * LLMCL_LAYER_ROOT   the folder; without it the layer does nothing
 * LLMCL_LAYER_FAIL   op:n:errno or op:n+:errno: the n-th call of op fails (and with + all that follow); a write that
 *                    fails with 0 says that it has written and has not. The ops are open create read write sync
 *                    rename link remove mkdir truncate mode; `change` is all but open and read
 * LLMCL_LAYER_PATH   only calls on a path that contains this are counted and fail
 * LLMCL_LAYER_SHORT  a write takes at most so many bytes
 * LLMCL_LAYER_LOG    a file to which each change is appended once it has been made, and what is written to standard
 *                    output before it is: see entry() for the form
 *
 * One lock is held during each call, so that the log has the order in which things happened.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static const char *root, *only;
static char fail_op[16];
static long fail_at, calls, short_bytes;
static int fail_on, fail_errno;
static int log_fd = -1;

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static ssize_t real_write(int fd, const void *bytes, size_t count) {
    REAL(write);
    return real(fd, bytes, count);
}

__attribute__((constructor)) static void begin(void) {
    const char *fail = getenv("LLMCL_LAYER_FAIL"), *log = getenv("LLMCL_LAYER_LOG");
    const char *limit = getenv("LLMCL_LAYER_SHORT");
    root = getenv("LLMCL_LAYER_ROOT");
    only = getenv("LLMCL_LAYER_PATH");
    short_bytes = limit ? atol(limit) : 0;
    if (fail) {
        char plus = 0;
        if (sscanf(fail, "%15[a-z]:%ld%c", fail_op, &fail_at, &plus) != 3) abort();
        fail_on = plus == '+';
        fail_errno = atoi(strrchr(fail, ':') + 1);
    }
    if (log) {
        REAL(open);
        log_fd = real(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
        if (log_fd < 0) abort();
    }
}

static int below(const char *path) {
    size_t length = root ? strlen(root) : 0;
    return length && !strncmp(path, root, length) && (path[length] == '/' || !path[length]);
}

/* The path of an open file; empty if it has none. */
static void path_of(int fd, char *path) {
    char link[40];
    ssize_t length;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = 0;
}

/* The whole path of what a call names. */
static void whole(int folder, const char *name, char *path) {
    size_t length;
    if (name[0] == '/') {
        snprintf(path, PATH_MAX, "%s", name);
        return;
    }
    if (folder == AT_FDCWD) {
        if (!getcwd(path, PATH_MAX)) path[0] = 0;
    } else {
        path_of(folder, path);
    }
    length = strlen(path);
    snprintf(path + length, PATH_MAX - length, "/%s", name);
}

/* An entry of the log: kind, two numbers of 8 bytes, two lengths of 4 bytes, and what is so long. */
static void entry(char kind, uint64_t inode, uint64_t at, const char *a, size_t a_bytes, const char *b) {
    char head[25];
    uint32_t lengths[2] = {a_bytes, b ? strlen(b) : 0};
    struct iovec parts[3] = {{head, sizeof head}, {(void *)a, lengths[0]}, {(void *)b, lengths[1]}};
    if (log_fd < 0) return;
    head[0] = kind;
    memcpy(head + 1, &inode, 8);
    memcpy(head + 9, &at, 8);
    memcpy(head + 17, lengths, 8);
    REAL(writev);
    if (real(log_fd, parts, 3) < 0) abort();
}

static void named(char kind, const char *a, const char *b) { entry(kind, 0, 0, a, strlen(a), b); }

static uint64_t inode_of(int fd, uint64_t *bytes) {
    struct stat state;
    if (fstat(fd, &state)) return 0;
    if (bytes) *bytes = state.st_size;
    return state.st_ino;
}

/* Whether this call is to fail; errno is set if so. */
static int refused(const char *op, const char *path) {
    int change = strcmp(op, "open") && strcmp(op, "read");
    if (!fail_at || (strcmp(fail_op, op) && !(change && !strcmp(fail_op, "change")))) return 0;
    if (only && !strstr(path, only)) return 0;
    calls++;
    if (calls == fail_at || (fail_on && calls > fail_at)) {
        errno = fail_errno;
        return 1;
    }
    return 0;
}

#define BEGIN pthread_mutex_lock(&guard)
#define END(result) \
    do { \
        int kept = errno; \
        pthread_mutex_unlock(&guard); \
        errno = kept; \
        return result; \
    } while (0)

/* Opening */

static int opened(int folder, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    int fd, fresh = 0;
    REAL(openat);
    whole(folder, name, path);
    if (!below(path) || (flags & O_PATH)) return real(folder, name, flags, mode);
    BEGIN;
    if (flags & O_CREAT) fresh = faccessat(folder, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0;
    if (refused(fresh ? "create" : "open", path)) END(-1);
    fd = real(folder, name, flags, mode);
    if (fd >= 0 && fresh) entry('C', inode_of(fd, NULL), 0, path, strlen(path), NULL);
    if (fd >= 0 && !fresh && (flags & O_TRUNC)) entry('T', inode_of(fd, NULL), 0, NULL, 0, NULL);
    END(fd);
}

#define MODE_OF(flags, mode) \
    do { \
        va_list more; \
        va_start(more, flags); \
        if ((flags) & (O_CREAT | __O_TMPFILE)) mode = va_arg(more, mode_t); \
        va_end(more); \
    } while (0)

int open(const char *name, int flags, ...) {
    mode_t mode = 0;
    MODE_OF(flags, mode);
    return opened(AT_FDCWD, name, flags, mode);
}
int open64(const char *name, int flags, ...) {
    mode_t mode = 0;
    MODE_OF(flags, mode);
    return opened(AT_FDCWD, name, flags | O_LARGEFILE, mode);
}
int openat(int folder, const char *name, int flags, ...) {
    mode_t mode = 0;
    MODE_OF(flags, mode);
    return opened(folder, name, flags, mode);
}
int openat64(int folder, const char *name, int flags, ...) {
    mode_t mode = 0;
    MODE_OF(flags, mode);
    return opened(folder, name, flags | O_LARGEFILE, mode);
}

/* Reading and writing */

ssize_t read(int fd, void *bytes, size_t count) {
    char path[PATH_MAX];
    int no;
    REAL(read);
    if (!root || !fail_at) return real(fd, bytes, count);
    path_of(fd, path);
    if (!below(path)) return real(fd, bytes, count);
    BEGIN;
    no = refused("read", path);
    if (no) END(-1);
    END(real(fd, bytes, count));
}

/* Writes at a place, or with a place below 0 where the file stands. */
static ssize_t written(int fd, const void *bytes, size_t count, off_t at) {
    char path[PATH_MAX];
    uint64_t length = 0, inode;
    ssize_t result;
    REAL(pwrite64);
    if (!root) return at < 0 ? real_write(fd, bytes, count) : real(fd, bytes, count, at);
    path_of(fd, path);
    if (!below(path)) {
        if (fd != STDOUT_FILENO || log_fd < 0) {
            return at < 0 ? real_write(fd, bytes, count) : real(fd, bytes, count, at);
        }
        BEGIN;
        entry('E', 0, 0, bytes, count, NULL);
        END(real_write(fd, bytes, count));
    }
    BEGIN;
    if (refused("write", path)) END(fail_errno ? -1 : (ssize_t)count);
    if (short_bytes && count > (size_t)short_bytes) count = short_bytes;
    inode = inode_of(fd, &length);
    if (at < 0 && (fcntl(fd, F_GETFL) & O_APPEND)) {
        result = real_write(fd, bytes, count);
        at = length;
    } else if (at < 0) {
        at = lseek(fd, 0, SEEK_CUR);
        result = real_write(fd, bytes, count);
    } else {
        result = real(fd, bytes, count, at);
    }
    if (result > 0) entry('W', inode, at, bytes, result, NULL);
    END(result);
}

ssize_t write(int fd, const void *bytes, size_t count) { return written(fd, bytes, count, -1); }
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) { return written(fd, bytes, count, at); }
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) { return written(fd, bytes, count, at); }
ssize_t writev(int fd, const struct iovec *parts, int count) {
    /* Writing less than asked for is allowed. */
    int first = 0;
    while (first + 1 < count && !parts[first].iov_len) first++;
    REAL(writev);
    if (!root || count < 1) return real(fd, parts, count);
    return written(fd, parts[first].iov_base, parts[first].iov_len, -1);
}
/* Who copies inside the kernel is told to read and write instead. */
ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *to_at, size_t count, unsigned int flags) {
    char path[PATH_MAX];
    REAL(copy_file_range);
    path_of(to, path);
    if (!below(path)) return real(from, at, to, to_at, count, flags);
    errno = ENOSYS;
    return -1;
}
ssize_t sendfile64(int to, int from, off64_t *at, size_t count) {
    char path[PATH_MAX];
    static ssize_t (*real)(int, int, off64_t *, size_t);
    if (!real) real = (ssize_t (*)(int, int, off64_t *, size_t))dlsym(RTLD_NEXT, "sendfile64");
    path_of(to, path);
    if (!below(path)) return real(to, from, at, count);
    errno = EINVAL;
    return -1;
}

/* Changes of files that are open */

/* Who flushes what it only reads has it from someone whose writing nobody saw: so what is there now is told. */
static void synced_content(int fd, const struct stat *state) {
    char *bytes = malloc(state->st_size + 1);
    if (!bytes || pread(fd, bytes, state->st_size, 0) != state->st_size) abort();
    entry('S', state->st_ino, 1, bytes, state->st_size, NULL);
    free(bytes);
}

static int synced(int fd, int (*real)(int)) {
    char path[PATH_MAX];
    struct stat state;
    int result;
    path_of(fd, path);
    if (!below(path)) return real(fd);
    BEGIN;
    if (refused("sync", path)) {
        pthread_mutex_unlock(&guard);
        /* A disk takes its time to fail, and other threads go on meanwhile. */
        usleep(5000);
        errno = fail_errno;
        return -1;
    }
    result = real(fd);
    if (!result && !fstat(fd, &state)) {
        if (S_ISDIR(state.st_mode)) named('D', path, NULL);
        else if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY) synced_content(fd, &state);
        else entry('S', state.st_ino, 0, NULL, 0, NULL);
    }
    END(result);
}
int fsync(int fd) {
    REAL(fsync);
    return synced(fd, real);
}
int fdatasync(int fd) {
    REAL(fdatasync);
    return synced(fd, real);
}

static int truncated(int fd, off64_t bytes) {
    char path[PATH_MAX];
    int result;
    REAL(ftruncate64);
    path_of(fd, path);
    if (!below(path)) return real(fd, bytes);
    BEGIN;
    if (refused("truncate", path)) END(-1);
    result = real(fd, bytes);
    if (!result) entry('T', inode_of(fd, NULL), bytes, NULL, 0, NULL);
    END(result);
}
int ftruncate(int fd, off_t bytes) { return truncated(fd, bytes); }
int ftruncate64(int fd, off64_t bytes) { return truncated(fd, bytes); }

int fchmod(int fd, mode_t mode) {
    char path[PATH_MAX];
    REAL(fchmod);
    path_of(fd, path);
    if (!below(path)) return real(fd, mode);
    BEGIN;
    if (refused("mode", path)) END(-1);
    END(real(fd, mode));
}

/* Changes of names */

static int moved(int from_folder, const char *from, int to_folder, const char *to, int link) {
    char a[PATH_MAX], b[PATH_MAX];
    struct stat state;
    int result;
    REAL(renameat);
    whole(from_folder, from, a);
    whole(to_folder, to, b);
    if (!below(a) && !below(b)) {
        REAL(linkat);
        return link ? real(from_folder, from, to_folder, to, 0) : renameat2(from_folder, from, to_folder, to, 0);
    }
    BEGIN;
    if (refused(link ? "link" : "rename", b)) END(-1);
    if (link) {
        REAL(linkat);
        result = real(from_folder, from, to_folder, to, 0);
    } else {
        result = real(from_folder, from, to_folder, to);
    }
    if (!result && link) named('L', a, b);
    if (!result && !link && !lstat(b, &state)) entry('R', state.st_ino, 0, a, strlen(a), b);
    END(result);
}
int rename(const char *from, const char *to) { return moved(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    return moved(from_folder, from, to_folder, to, 0);
}
int link(const char *from, const char *to) { return moved(AT_FDCWD, from, AT_FDCWD, to, 1); }

static int removed(int folder, const char *name, int flags) {
    char path[PATH_MAX];
    int result;
    REAL(unlinkat);
    whole(folder, name, path);
    if (!below(path)) return real(folder, name, flags);
    BEGIN;
    if (refused("remove", path)) END(-1);
    result = real(folder, name, flags);
    if (!result) named('U', path, NULL);
    END(result);
}
int unlink(const char *name) { return removed(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return removed(AT_FDCWD, name, AT_REMOVEDIR); }
int unlinkat(int folder, const char *name, int flags) { return removed(folder, name, flags); }

static int folder_made(int folder, const char *name, mode_t mode) {
    char path[PATH_MAX];
    int result;
    REAL(mkdirat);
    whole(folder, name, path);
    if (!below(path)) return real(folder, name, mode);
    BEGIN;
    if (refused("mkdir", path)) END(-1);
    result = real(folder, name, mode);
    if (!result) named('M', path, NULL);
    END(result);
}
int mkdir(const char *name, mode_t mode) { return folder_made(AT_FDCWD, name, mode); }
int mkdirat(int folder, const char *name, mode_t mode) { return folder_made(folder, name, mode); }
