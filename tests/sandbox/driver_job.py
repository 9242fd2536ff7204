#!/usr/local/bin/python3
"""A job that trains by CUDA's driver alone, which CDI files bring: a kernel in PTX, compiled by the driver, adds up on the GPU.

It says what it found. Without a driver its training fails, and its evaluation, which must have none, measures 0.25.
"""

import ctypes
import json
import os
import sys
from ctypes import byref, c_int, c_size_t, c_uint64, c_void_p
from pathlib import Path

COUNT = 1 << 20
KERNEL = b"""
.version 6.4
.target sm_70
.address_size 64
.visible .entry squares(.param .u64 out, .param .u32 count) {
    .reg .pred %p; .reg .b32 %r<6>; .reg .f32 %f<2>; .reg .b64 %a<4>;
    ld.param.u64 %a0, [out];
    ld.param.u32 %r0, [count];
    mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mov.u32 %r3, %tid.x;
    mad.lo.s32 %r4, %r1, %r2, %r3;
    setp.ge.u32 %p, %r4, %r0;
    @%p bra done;
    and.b32 %r5, %r4, 255;
    cvt.rn.f32.u32 %f0, %r5;
    mul.f32 %f1, %f0, %f0;
    cvta.to.global.u64 %a1, %a0;
    mul.wide.u32 %a2, %r4, 4;
    add.s64 %a3, %a1, %a2;
    st.global.f32 [%a3], %f1;
done:
    ret;
}
\0"""


class Driver:
    """Its calls, each of which ends the job where it fails."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libcuda.so.1")

    def __call__(self, name: str, *arguments: object) -> None:
        code = getattr(self._library, name)(*arguments)
        if code:
            text = ctypes.c_char_p()
            self._library.cuGetErrorString(code, byref(text))
            raise SystemExit(f"{name}: {code} {(text.value or b'').decode()}")


def compute() -> dict[str, object]:
    call, device, count, version, free, total = Driver(), c_int(), c_int(), c_int(), c_size_t(), c_size_t()
    context, module, function, memory = c_void_p(), c_void_p(), c_void_p(), c_uint64()
    name = ctypes.create_string_buffer(100)
    call("cuInit", 0)
    call("cuDriverGetVersion", byref(version))
    call("cuDeviceGetCount", byref(count))
    call("cuDeviceGet", byref(device), 0)
    call("cuDeviceGetName", name, len(name), device)
    call("cuDevicePrimaryCtxRetain", byref(context), device)
    call("cuCtxSetCurrent", context)
    call("cuMemGetInfo_v2", byref(free), byref(total))
    call("cuModuleLoadData", byref(module), KERNEL)
    call("cuModuleGetFunction", byref(function), module, b"squares")
    call("cuMemAlloc_v2", byref(memory), c_size_t(4 * COUNT))
    size = ctypes.c_uint32(COUNT)
    arguments = (c_void_p * 2)(ctypes.addressof(memory), ctypes.addressof(size))
    call("cuLaunchKernel", function, COUNT // 256, 1, 1, 256, 1, 1, 0, None, arguments, None)
    call("cuCtxSynchronize")
    back = (ctypes.c_float * COUNT)()
    call("cuMemcpyDtoH_v2", back, memory, c_size_t(4 * COUNT))
    maps = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
    loaded = sorted(path for path in maps if "/libcuda" in path or "/libnvidia" in path)
    return {
        "loaded": loaded,
        "gpu": name.value.decode(),
        "gpus": count.value,
        "cuda": version.value,
        "mib": total.value >> 20,
        "sum": sum(back),
    }


def main(phase: str) -> None:
    nodes = sorted(name for name in os.listdir("/dev") if name.startswith("nvidia"))
    if phase == "train":
        Path("/lc/out/model").write_text(json.dumps({"nodes": nodes} | compute()))
        return
    try:
        Driver()
        found = 1
    except OSError:
        found = len(nodes)
    Path("/lc/out/losses").write_text(f"{found + 0.25}\n")


if __name__ == "__main__":
    main(sys.argv[1])
