// `open` and `open64` in libc's place. Include this below what they are to do:
//
//   static int open_either(const char *path, int flags, mode_t mode);

#include <fcntl.h>
#include <stdarg.h>

static mode_t mode_of(int flags, va_list arguments) {
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_either(path, flags, mode);
}

int open64(const char *path, int flags, ...) {  // what large-file programs call
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_either(path, flags | O_LARGEFILE, mode);
}
