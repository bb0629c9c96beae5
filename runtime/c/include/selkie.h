/* The C interface of Selkie's runtime, for functions in C. Generated from runtime/c/src/interface.rs. */

#ifndef SELKIE_H
#define SELKIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#define SELKIE_NO_RETURN __attribute__((noreturn))

// Like in the C library, of which there is nothing else beneath a function.
void *memcpy(void *to, const void *from, size_t count);
void *memmove(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);
int memcmp(const void *a, const void *b, size_t count);
size_t strlen(const char *text);

// Writes `size` bytes to the console. A line feed becomes carriage return and line feed.
// `bytes` points to that many.
void selkie_write(const void *bytes, size_t size);

// Writes a text to the console.
// `text` is one, ended by a NUL.
void selkie_print(const char *text);

// Writes a number to the console, in decimal digits.
void selkie_print_unsigned(uint64_t number);

// Writes a number to the console, in decimal digits, with a minus sign when it is negative.
void selkie_print_signed(int64_t number);

// Writes a number to the console, in hexadecimal digits after `0x`.
void selkie_print_hex(uint64_t number);

// A byte that has arrived at the console, or -1 when there is none. It does not wait.
int32_t selkie_read(void);

// Ends the function with a status from 0 to 111; a greater one counts as 111.
void selkie_exit(uint8_t status) SELKIE_NO_RETURN;

// Memory from the heap, aligned to 16 bytes and not filled, or NULL when the heap has no room.
void *selkie_alloc(size_t size);

// As selkie_alloc, for `count` pieces of `size` bytes each, filled with zeros.
void *selkie_alloc_zeroed(size_t count, size_t size);

// Makes memory from the heap smaller or larger, and moves it where that is needed. NULL when the heap has
// no room; the memory is as it was then. With NULL for `memory` it is selkie_alloc.
// `memory` comes from this interface and was not given back.
void *selkie_realloc(void *memory, size_t size);

// Gives memory from the heap back. NULL is nothing to give back.
// `memory` comes from this interface and was not given back.
void selkie_free(void *memory);

// Nanoseconds since the function's start; 0 where no clock is known.
uint64_t selkie_time(void);

// Waits for at least this many nanoseconds. False, at once, where no clock is known.
bool selkie_sleep(uint64_t nanoseconds);

// The value of a variable of the environment, or NULL. It lives for ever.
// `name` is a text, ended by a NUL.
const char *selkie_env(const char *name);

// The release of seL4 that the function was built for, for instance "5.0.0".
const char *selkie_kernel_version(void);

// Ordinary memory that the function was started with, in bytes, its own image not counted.
uint64_t selkie_memory_size(void);

#endif  /* SELKIE_H */
