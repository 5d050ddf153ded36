// A Raspberry Pi's GPIO chip where the kernel has none: preload it, and /dev/gpiochip0 is there.
//
//   gcc -shared -fPIC -o gpiochip.so gpiochip.c
//   LD_PRELOAD=./gpiochip.so FAKE_GPIO=pins python3 -c 'import gpiozero; gpiozero.LED(17).on()'
//
// The pins are the file that $FAKE_GPIO names, which whoever watches them makes and maps as well.
// It has three rows of 54 characters, one for each line:
//
//   levels      0 or 1: an output shows up here; write one here to drive an input
//   directions  i or o
//   pulls       d or u: where the line goes by itself as an input; d and u as on a Pi at power-on
//
// Each change by a program is a row of $FAKE_GPIO.log: its process, the line, the level.
//
// As with the kernel: a line that a program has claimed is busy for the others until it lets go or
// dies, and a line whose program dies keeps its direction and level. What is here of the interface
// (linux/gpio.h, version 2) is what lgpio uses: chip and line information, lines as outputs and
// inputs with pulls, values, and edge events; a request for anything else fails.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/gpio.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LINES = 54, ROW = LINES + 1, FILES = 1024 };

static const char *const DEVICE = "/dev/gpiochip0";
static const long POLL_NS = 2000000;  // how often inputs are looked at

static struct pins {
    char level[ROW], direction[ROW], pull[ROW];  // each row ends with a newline
} volatile *pins;                                // shared with everybody else who maps the file

// What a program gets for lines that it asks for.
struct request {
    int events;  // our end of the socket whose other end the program reads edges from
    int locks;   // holds the locks that make its lines busy for others
    unsigned count, lines[GPIO_V2_LINES_MAX];
    char seen[GPIO_V2_LINES_MAX];  // levels when last looked at, for edges
    unsigned long long flags;
    unsigned sequence;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;  // guards what follows
static bool is_chip[FILES];                                // by file descriptor, as is
static struct request *requests[FILES];
static pid_t process;  // whose descriptors those are: a child has others
static int log_file = -1;

static int (*real_open)(const char *, int, ...);
static int (*real_ioctl)(int, unsigned long, ...);
static int (*real_close)(int);

__attribute__((constructor)) static void find_real_ones(void) {
    real_open = dlsym(RTLD_NEXT, "open");
    real_ioctl = dlsym(RTLD_NEXT, "ioctl");
    real_close = dlsym(RTLD_NEXT, "close");
}

static int fail(int why) {
    errno = why;
    return -1;
}

static int open_pins(void) {
    const char *path = getenv("FAKE_GPIO");
    return path ? real_open(path, O_RDWR | O_CLOEXEC) : fail(ENOENT);
}

// --- Levels, and who may set them

static void set_level(unsigned line, bool high) {
    char level = high ? '1' : '0', row[64];
    if (pins->level[line] == level) return;
    pins->level[line] = level;
    int length = snprintf(row, sizeof row, "%d %u %c\n", getpid(), line, level);
    if (write(log_file, row, length) != length) perror("gpiochip.so: log");
}

// Take the line, or say who has it. The kernel drops the lock with the last of the descriptor, so
// a program that is killed leaves nothing busy.
static bool lock_line(int locks, int command, unsigned line) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = line, .l_len = 1};
    if (fcntl(locks, command, &lock)) return false;
    return command != F_OFD_GETLK || lock.l_type == F_UNLCK;
}

static void configure(struct request *r, const struct gpio_v2_line_config *config) {
    unsigned long long values = 0;
    for (unsigned i = 0; i < config->num_attrs; i++)
        if (config->attrs[i].attr.id == GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES)
            values = config->attrs[i].attr.values;
    r->flags = config->flags;
    for (unsigned i = 0; i < r->count; i++) {
        unsigned line = r->lines[i];
        bool was_output = pins->direction[line] == 'o', pulled = true;
        if (r->flags & GPIO_V2_LINE_FLAG_BIAS_PULL_UP) pins->pull[line] = 'u';
        else if (r->flags & GPIO_V2_LINE_FLAG_BIAS_PULL_DOWN) pins->pull[line] = 'd';
        else pulled = false;
        if (r->flags & GPIO_V2_LINE_FLAG_OUTPUT) {
            pins->direction[line] = 'o';
            set_level(line, values >> i & 1);
        } else if (r->flags & GPIO_V2_LINE_FLAG_INPUT) {
            pins->direction[line] = 'i';
            if (pulled || was_output) set_level(line, pins->pull[line] == 'u');
        }
        r->seen[i] = pins->level[line];
    }
}

// --- Edges: a thread looks at the inputs, and tells of those that changed

static void tell_edge(struct request *r, unsigned i) {
    char level = pins->level[r->lines[i]];
    if (level == r->seen[i]) return;
    r->seen[i] = level;
    bool rising = level == '1';
    if (!(r->flags & (rising ? GPIO_V2_LINE_FLAG_EDGE_RISING : GPIO_V2_LINE_FLAG_EDGE_FALLING)))
        return;
    struct timespec now;
    bool wall = r->flags & GPIO_V2_LINE_FLAG_EVENT_CLOCK_REALTIME;
    clock_gettime(wall ? CLOCK_REALTIME : CLOCK_MONOTONIC, &now);
    unsigned number = ++r->sequence;
    struct gpio_v2_line_event event = {
        .timestamp_ns = now.tv_sec * 1000000000ULL + now.tv_nsec,
        .id = rising ? GPIO_V2_LINE_EVENT_RISING_EDGE : GPIO_V2_LINE_EVENT_FALLING_EDGE,
        .offset = r->lines[i],
        .seqno = number,
        .line_seqno = number,
    };
    // Nobody reading: the event is lost, as with the kernel.
    send(r->events, &event, sizeof event, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void *watch_inputs(void *unused) {
    for (;;) {
        nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
        pthread_mutex_lock(&mutex);
        for (int fd = 0; fd < FILES; fd++)
            if (requests[fd] && requests[fd]->flags & GPIO_V2_LINE_FLAG_INPUT)
                for (unsigned i = 0; i < requests[fd]->count; i++) tell_edge(requests[fd], i);
        pthread_mutex_unlock(&mutex);
    }
    return unused;
}

// --- The chip

static int open_chip(void) {
    if (!pins) {
        int file = open_pins();
        if (file < 0) return -1;
        char path[4096];
        snprintf(path, sizeof path, "%s.log", getenv("FAKE_GPIO"));
        log_file = real_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
        void *map = mmap(NULL, sizeof *pins, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        real_close(file);
        if (map == MAP_FAILED) return -1;
        pins = map;
    }
    int fd = memfd_create("gpiochip0", MFD_CLOEXEC);  // any descriptor will do
    if (fd >= FILES) {
        real_close(fd);
        return fail(EMFILE);
    }
    pthread_mutex_lock(&mutex);
    process = getpid();
    if (fd >= 0) is_chip[fd] = true;
    pthread_mutex_unlock(&mutex);
    return fd;
}

static int chip_info(struct gpiochip_info *info) {
    *info = (struct gpiochip_info){
        .name = "gpiochip0", .label = "pinctrl-bcm2711", .lines = LINES};
    return 0;
}

static int line_info(struct gpio_v2_line_info *info) {
    unsigned line = info->offset;
    if (line >= LINES) return fail(EINVAL);
    *info = (struct gpio_v2_line_info){.offset = line};
    snprintf(info->name, sizeof info->name, "GPIO%u", line);
    info->flags = pins->direction[line] == 'o' ? GPIO_V2_LINE_FLAG_OUTPUT : GPIO_V2_LINE_FLAG_INPUT;
    int locks = open_pins();
    if (locks < 0 || !lock_line(locks, F_OFD_GETLK, line)) info->flags |= GPIO_V2_LINE_FLAG_USED;
    if (locks >= 0) real_close(locks);
    return 0;
}

static int request_lines(struct gpio_v2_line_request *wanted) {
    int ends[2];
    struct request *r = calloc(1, sizeof *r);
    if (!r) return fail(ENOMEM);
    if ((r->locks = open_pins()) < 0) {
        free(r);
        return -1;
    }
    r->count = wanted->num_lines;
    int why = r->count <= GPIO_V2_LINES_MAX ? 0 : EINVAL;
    for (unsigned i = 0; !why && i < r->count; i++) {
        r->lines[i] = wanted->offsets[i];
        if (r->lines[i] >= LINES) why = EINVAL;
        else if (!lock_line(r->locks, F_OFD_SETLK, r->lines[i])) why = EBUSY;
    }
    if (!why && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)) why = errno;
    if (!why && ends[0] >= FILES) {
        real_close(ends[0]);
        real_close(ends[1]);
        why = EMFILE;
    }
    if (why) {
        real_close(r->locks);
        free(r);
        return fail(why);
    }
    wanted->fd = ends[0];
    r->events = ends[1];
    requests[ends[0]] = r;
    configure(r, &wanted->config);
    static bool watching;
    static pthread_t watcher;
    if (!watching && r->flags & (GPIO_V2_LINE_FLAG_EDGE_RISING | GPIO_V2_LINE_FLAG_EDGE_FALLING))
        watching = !pthread_create(&watcher, NULL, watch_inputs, NULL);
    return 0;
}

static int chip_ioctl(unsigned what, void *argument) {
    switch (what) {
    case (unsigned)GPIO_GET_CHIPINFO_IOCTL: return chip_info(argument);
    case (unsigned)GPIO_V2_GET_LINEINFO_IOCTL: return line_info(argument);
    case (unsigned)GPIO_V2_GET_LINE_IOCTL: return request_lines(argument);
    default: return fail(ENOTTY);
    }
}

static int lines_ioctl(struct request *r, unsigned what, void *argument) {
    struct gpio_v2_line_values *values = argument;
    switch (what) {
    case (unsigned)GPIO_V2_LINE_SET_CONFIG_IOCTL: configure(r, argument); return 0;
    case (unsigned)GPIO_V2_LINE_SET_VALUES_IOCTL:
        if (!(r->flags & GPIO_V2_LINE_FLAG_OUTPUT)) return fail(EPERM);
        for (unsigned i = 0; i < r->count; i++)
            if (values->mask >> i & 1) set_level(r->lines[i], values->bits >> i & 1);
        return 0;
    case (unsigned)GPIO_V2_LINE_GET_VALUES_IOCTL:
        values->bits = 0;
        for (unsigned i = 0; i < r->count; i++)
            if (values->mask >> i & 1 && pins->level[r->lines[i]] == '1') values->bits |= 1ULL << i;
        return 0;
    default: return fail(ENOTTY);
    }
}

// --- What takes libc's place

static int open_either(const char *path, int flags, mode_t mode) {
    if (!strcmp(path, DEVICE) && getenv("FAKE_GPIO")) return open_chip();
    return real_open(path, flags, mode);
}

#include "opened.h"

// Whether a descriptor may be ours. After a fork it is not, even though the memory says so.
static bool is_ours(int fd) {
    return pins && fd >= 0 && fd < FILES && getpid() == process;
}

int ioctl(int fd, unsigned long what, ...) {
    va_list arguments;
    va_start(arguments, what);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (!is_ours(fd)) return real_ioctl(fd, what, argument);
    pthread_mutex_lock(&mutex);
    bool chip = is_chip[fd];
    struct request *r = requests[fd];
    int result = chip ? chip_ioctl(what, argument) : r ? lines_ioctl(r, what, argument) : 0;
    pthread_mutex_unlock(&mutex);
    return chip || r ? result : real_ioctl(fd, what, argument);
}

int close(int fd) {
    if (is_ours(fd)) {
        pthread_mutex_lock(&mutex);
        struct request *r = requests[fd];
        requests[fd] = NULL;
        is_chip[fd] = false;
        pthread_mutex_unlock(&mutex);
        if (r) {
            real_close(r->events);
            real_close(r->locks);  // and its lines are free
            free(r);
        }
    }
    return real_close(fd);
}
