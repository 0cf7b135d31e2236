package cpu

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Running is the number of the CPU that the caller's thread is on, as affinity masks count, or -1 where nobody says.
func Running() int {
	var n uint32
	if _, _, errno := unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&n)), 0, 0); errno != 0 {
		return -1
	}
	return int(n)
}
