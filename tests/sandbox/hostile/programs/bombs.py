"""Taking more than the job's share: of processes, memory, files, output, time."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import select
import signal
import socket
import sys
import threading
import zipfile

from .kit import CLOCK, FINE, HELD, KILLED, LIBC, MEMORY, MODEL, OUT, STOPPED, attempt, case, finish, held, must, put

MIB = 1 << 20
PIDS = 48
NOFILE = 128


@case("bombs", HELD, gvisor=(FINE,))
def terminals() -> None:
    """terminals, of which all containers of a machine share 4,096, with memory of the kernel's behind each that nobody counts"""
    attempt("a terminal", os.openpty)
    attempt("the terminals' device", os.open, "/dev/ptmx", os.O_RDWR)
    held()


@case("bombs", CLOCK, wall_s=1.0, pids=PIDS, gvisor=STOPPED)
def fork_bomb() -> None:
    """children without end"""
    while True:
        try:
            os.fork()
        except OSError:
            signal.pause()


@case("bombs", HELD, gvisor=STOPPED, pids=PIDS)
def process_limit() -> None:
    """counting how many children it gets, zombies included"""
    count = 0
    while count <= 4 * PIDS:
        try:
            if os.fork() == 0:
                os._exit(0)
        except OSError:
            break
        count += 1
    must(count < PIDS, f"{count} children")
    held()


@case("bombs", HELD, gvisor=(HELD, *STOPPED), pids=PIDS)
def thread_bomb() -> None:
    """threads without end"""
    threading.stack_size(65536)
    stop = threading.Event()
    count = 0
    while count <= 4 * PIDS:
        try:
            threading.Thread(target=stop.wait, daemon=True).start()
        except RuntimeError:
            break
        count += 1
    must(count < PIDS, f"{count} threads")
    held()


@case("bombs", CLOCK, gvisor=STOPPED, wall_s=1.5, pids=PIDS)
def fork_churn() -> None:
    """children that fork and die all the time, each in a session of its own"""
    while True:
        try:
            if os.fork() == 0:
                os.setsid()
                os.fork()
                os._exit(0)
        except OSError:
            continue


@case("bombs", MEMORY, sampled=True)
def memory() -> None:
    """memory without end"""
    block = []
    while True:
        block.append(bytearray(b"x") * (4 * MIB))


@case("bombs", MEMORY)
def locked_memory() -> None:
    """memory that cannot be swapped out, and maps of zeros that are written"""
    while True:
        page = mmap.mmap(-1, 8 * MIB)
        _kept.append(page)
        LIBC.mlock(ctypes.addressof(ctypes.c_char.from_buffer(page)), ctypes.c_size_t(8 * MIB))
        page.write(b"x" * (8 * MIB))


@case("bombs", MEMORY)
def memory_of_children() -> None:
    """memory spread over many children, each below the limit"""
    for _ in range(16):
        if os.fork() == 0:
            held_here = bytearray(b"x") * (24 * MIB)
            signal.pause()
            os._exit(len(held_here) & 1)
    block = []
    while True:
        block.append(bytearray(b"x") * MIB)


@case("bombs", MEMORY, gvisor=(*KILLED, HELD))
def shared_memory() -> None:
    """System V shared memory, which outlives its process"""
    count = 0
    LIBC.shmat.restype = ctypes.c_void_p
    while count < 64:
        number = LIBC.shmget(0, ctypes.c_size_t(16 * MIB), 0o1600)
        if number < 0:
            break
        place = LIBC.shmat(number, None, 0)
        if place in (None, ctypes.c_void_p(-1).value):
            break
        ctypes.memset(place, 1, 16 * MIB)
        count += 1
    must(count < 8, f"{count} segments of 16 MiB")
    held()


@case("bombs", HELD, file_cap=4 * MIB)
def files_of_memory() -> None:
    """files of memory (memfd) larger than any file may be"""
    if not hasattr(os, "memfd_create"):
        must(True, "no memfd")
        held()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def grow() -> int:
        place = os.memfd_create("x")
        total = 0
        while total <= 4 * MIB:
            total += os.write(place, bytes(MIB))
        return total

    attempt("memfd", grow)
    held()


@case("bombs", MEMORY, gvisor=STOPPED, mem_mb=48, wall_s=10.0)
def socket_buffers() -> None:
    """the kernel's memory behind local sockets that nobody reads"""
    while len(_kept) < 400:
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        _kept.append((left, right))
        left.setblocking(False)
        try:
            while True:
                left.send(bytes(100_000))
        except BlockingIOError:
            continue
    finish()


@case("bombs", HELD, nofile=NOFILE)
def pipe_buffers() -> None:
    """the kernel's memory behind pipes, each as large as it gets"""
    total = 0
    kept = []
    try:
        while len(kept) < 4 * NOFILE:
            reader, writer = os.pipe2(os.O_NONBLOCK)
            kept.append((reader, writer))
            try:
                while True:
                    total += os.write(writer, bytes(65536))
            except BlockingIOError:
                pass
    except OSError:
        pass
    must(len(kept) <= NOFILE and total <= 64 * MIB, f"{total} bytes in {len(kept)} pipes")
    held()


@case("bombs", HELD, nofile=NOFILE)
def descriptors() -> None:
    """open files without end, also parked in messages of a local socket"""
    count = 0
    try:
        while count <= 4 * NOFILE:
            os.dup(0)
            count += 1
    except OSError as why:
        must(why.errno == errno.EMFILE, str(why))
    must(count < NOFILE, f"{count} descriptors")
    held()


@case("bombs", HELD)
def disk() -> None:
    """filling every place that can be written to, file by file"""
    total = 0
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    for place in ("/", "/lc", "/etc", "/tmp", "/lc/out", "/dev", "/dev/shm", "/var", "/run", "/proc", "/sys"):
        for number in range(100):
            try:
                put(f"{place}/fill{number}", bytes(MIB))
            except OSError:
                break
            total += MIB
        for number in range(100):
            try:
                os.unlink(f"{place}/fill{number}")
            except OSError:
                break
    must(total <= 24 * MIB, f"{total} bytes written")
    held()


@case("bombs", MEMORY, mem_mb=64, tmp_mb=512, file_cap=256 * MIB)
def memory_in_files() -> None:
    """files in memory beyond the memory's limit"""
    for number in range(100):
        put(f"/tmp/{number}", bytes(4 * MIB))
    finish()


@case("bombs", HELD, tmp_inodes=256, gvisor=KILLED)
def inodes() -> None:
    """empty files without end"""
    counts = {}
    for place, most in (("/tmp", 256), ("/dev/shm", 1024), ("/lc/out", 64)):
        count = 0
        try:
            while count <= 200_000:
                os.close(os.open(f"{place}/{count}", os.O_CREAT | os.O_WRONLY))
                count += 1
        except OSError:
            pass
        counts[place] = count
        must(count <= most, f"{count} files in {place}")
        for number in range(count):
            os.unlink(f"{place}/{number}")
    held()


@case("bombs", HELD)
def folders_in_folders() -> None:
    """a chain of folders deeper than any path may be long"""
    depth = 0
    os.chdir(OUT)
    try:
        while depth < 5000:
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
            depth += 1
    except OSError:
        pass
    must(depth < 64, f"{depth} folders")
    held()


@case("bombs", HELD, sampled=True)
def sparse_file() -> None:
    """a file of a tebibyte that holds nothing"""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    for place in ("/tmp", "/dev/shm", OUT):
        path = f"{place}/sparse"
        put(path, b"")
        attempt(f"truncate {path}", os.truncate, path, 1 << 40)
        with open(path, "r+b") as file:
            attempt(f"write {path}", os.pwrite, file.fileno(), b"x", 1 << 40)
            attempt(f"allocate {path}", os.posix_fallocate, file.fileno(), 0, 1 << 40)
    held()


@case("bombs", ("failed", "bytes of output"), log_cap=1 << 20, sampled=True)
def output_flood() -> None:
    """output without end"""
    while True:
        os.write(1, b"y" * 65536)


@case("bombs", ("failed", "bytes of output"), log_cap=1 << 20)
def error_flood() -> None:
    """output without end on the other stream, one line without an end"""
    while True:
        os.write(2, b"\x1b[2J" * 16384)


@case("bombs", FINE)
def progress_flood() -> None:
    """a hundred thousand progress lines, some of them damaged"""
    line = b'LC {"step":1,"of":9,"loss":1e308}\nLC {"step":-1}\nLC {\nLC [[[[\n'
    for _ in range(400):
        os.write(1, line * 60)
    finish()


@case("bombs", FINE)
def escape_sequences() -> None:
    """output that takes over the terminal of whoever reads it"""
    sys.stdout.write("\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\x00\r\n" * 50)
    finish()


@case("bombs", CLOCK, gvisor=STOPPED, wall_s=1.5, cpus=0.5)
def processor_hog() -> None:
    """every processor at once"""
    for _ in range(8):
        if os.fork() == 0:
            while True:
                pass
    while True:
        pass


@case("bombs", HELD, nofile=NOFILE)
def kernel_objects() -> None:
    """timers, watches, locks, semaphores and event queues without end"""
    made = 0
    try:
        while made < 100_000:
            select.epoll()
            kept = select.epoll()
            _kept.append(kept)
            made += 1
    except OSError:
        pass
    must(made <= NOFILE, f"{made} event queues")
    for _ in range(4096):
        if LIBC.semget(0, 250, 0o1600) < 0:
            break
    for _ in range(4096):
        LIBC.inotify_add_watch(LIBC.inotify_init1(0), b"/tmp", 2)
    held()


_kept: list[object] = []


@case("bombs", FINE, file_cap=4 * MIB, model_cap=256 * 1024)
def packed_model() -> None:
    """a model that is an archive of 100 MiB of zeros: whoever opened it would be filled up"""
    with zipfile.ZipFile("/tmp/bomb", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("zeros", "w") as file:
        for _ in range(100):
            file.write(bytes(MIB))
    with open("/tmp/bomb", "rb") as file:
        put(MODEL, file.read())
