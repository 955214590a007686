/* What os_posix.c, os_map.c and cpu.c need that POSIX does not have: one small file a system
 * (os_linux.c, os_macos.c). Inside base/ only. */
#ifndef BASE_OS_SYS_H
#define BASE_OS_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

int64_t sys_mtime_ns(const struct stat *st);
/* Page-aligned ranges. Advice: nothing follows from a refusal. */
void sys_pages_drop(void *start, size_t size);
void sys_pages_want(void *start, size_t size);
void sys_pages_huge(void *start, size_t size);
/* Forces what was written to the device, not only to its cache. 0 or -1 with errno. */
int sys_sync(int fd);
/* x86 AMX: the system must be asked before a tile register is touched. */
bool sys_allow_amx(void);
/* CPU_* bits of an Arm CPU as the system tells them; 0 elsewhere. */
uint32_t sys_arm_features(void);

#endif
