// Memory that cameras and processors share, where the kernel has no /dev/dma_heap: preload it, and
// picamera2 and libcamera get plain shared memory in its place, which is as good for a camera that
// is itself a program.
//
//   gcc -shared -fPIC -o dmaheap.so dmaheap.c

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *const HEAP = "/dev/dma_heap/linux,cma";

typedef int (*open_function)(const char *, int, ...);
typedef int (*ioctl_function)(int, unsigned long, ...);

static int open_either(const char *path, int flags, mode_t mode) {
    static open_function real;
    if (!real) real = (open_function)dlsym(RTLD_NEXT, "open");
    if (!strcmp(path, HEAP)) return memfd_create("dma-heap", MFD_CLOEXEC);  // any descriptor
    return real(path, flags, mode);
}

#include "opened.h"

static int allocate(struct dma_heap_allocation_data *wanted) {
    int memory = memfd_create("dma-buf", MFD_CLOEXEC);
    if (memory < 0) return -1;
    if (ftruncate(memory, wanted->len)) {
        int why = errno;
        close(memory);
        errno = why;
        return -1;
    }
    wanted->fd = memory;
    return 0;
}

int ioctl(int fd, unsigned long what, ...) {
    va_list arguments;
    va_start(arguments, what);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    static ioctl_function real;
    if (!real) real = (ioctl_function)dlsym(RTLD_NEXT, "ioctl");
    switch ((unsigned)what) {
    case (unsigned)DMA_HEAP_IOCTL_ALLOC: return allocate(argument);
    // All processors see plain memory alike, and nobody reads its name.
    case (unsigned)DMA_BUF_IOCTL_SYNC:
    case (unsigned)DMA_BUF_SET_NAME_A:
    case (unsigned)DMA_BUF_SET_NAME_B: return 0;
    default: return real(fd, what, argument);
    }
}
