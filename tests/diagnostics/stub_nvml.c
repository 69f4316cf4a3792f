/* A driver library with two H100 on an NVSwitch, as far as the real bindings ask it. GPU 1 has lost its ECC query. */
#include <stdio.h>
#include <string.h>

typedef struct { int index; } Gpu;
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } Memory2;
typedef struct { unsigned pid; unsigned long long memory; unsigned instance, compute; } Process;
typedef struct {
    char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32];
} Pci;
typedef union { double d; unsigned ui; unsigned long long ull; } Value;
typedef struct { unsigned id, scope; long long time, latency; int type, status; Value value; } Field;
enum { OK = 0, NOT_SUPPORTED = 3, INSUFFICIENT_SIZE = 7, UNKNOWN = 999 };
static Gpu gpus[2] = {{0}, {1}};
#define MIB (1024ULL * 1024)

int nvmlInitWithFlags(unsigned flags) { return OK; }
int nvmlInit_v2(void) { return OK; }
const char *nvmlErrorString(int code) { return "stub error"; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) { snprintf(text, size, "570.86.15"); return OK; }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = 12080; return OK; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, Gpu **gpu) { *gpu = &gpus[index]; return OK; }
int nvmlDeviceGetName(Gpu *gpu, char *text, unsigned size) {
    snprintf(text, size, "NVIDIA H100 80GB HBM3"); return OK;
}
int nvmlDeviceGetUUID(Gpu *gpu, char *text, unsigned size) {
    snprintf(text, size, "GPU-%df3d0c1e", gpu->index); return OK;
}
int nvmlDeviceGetMemoryInfo_v2(Gpu *gpu, Memory2 *m) {
    m->total = 81559 * MIB; m->reserved = 560 * MIB; m->used = 1004 * MIB; m->free = 79995 * MIB; return OK;
}
int nvmlDeviceGetComputeRunningProcesses_v3(Gpu *gpu, unsigned *count, Process *list) {
    if (!list) { *count = 1; return INSUFFICIENT_SIZE; }
    *count = 1; list[0] = (Process){4194305, 1000 * MIB, ~0u, ~0u}; return OK;
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(Gpu *gpu, unsigned *count, Process *list) { *count = 0; return OK; }
int nvmlDeviceGetCudaComputeCapability(Gpu *gpu, int *major, int *minor) { *major = 9; *minor = 0; return OK; }
int nvmlDeviceGetPowerManagementLimit(Gpu *gpu, unsigned *milliwatts) { *milliwatts = 700000; return OK; }
int nvmlDeviceGetClockInfo(Gpu *gpu, int type, unsigned *clock) { *clock = type == 1 ? 345 : 2619; return OK; }
int nvmlDeviceGetCurrentClocksThrottleReasons(Gpu *gpu, unsigned long long *bits) { *bits = 0x5; return OK; }
int nvmlDeviceGetEccMode(Gpu *gpu, int *now, int *pending) {
    *now = *pending = 1; return gpu->index ? UNKNOWN : OK;
}
int nvmlDeviceGetTotalEccErrors(Gpu *gpu, int kind, int counter, unsigned long long *n) { *n = 2; return OK; }
int nvmlDeviceGetMigMode(Gpu *gpu, unsigned *now, unsigned *pending) { *now = *pending = 0; return OK; }
int nvmlDeviceGetMaxPcieLinkGeneration(Gpu *gpu, unsigned *generation) { *generation = 5; return OK; }
int nvmlDeviceGetPciInfo_v3(Gpu *gpu, Pci *pci) {
    memset(pci, 0, sizeof *pci); snprintf(pci->bus_id, 32, "00000000:%02x:00.0", 0x1b + gpu->index); return OK;
}
int nvmlDeviceGetMemoryAffinity(Gpu *gpu, unsigned words, unsigned long *set, int scope) { set[0] = 2; return OK; }
int nvmlDeviceGetCpuAffinity(Gpu *gpu, unsigned words, unsigned long *set) { set[0] = 0xf0; return OK; }
int nvmlDeviceGetNvLinkState(Gpu *gpu, unsigned link, int *active) {
    *active = 1; return link < 18 ? OK : NOT_SUPPORTED;
}
int nvmlDeviceGetNvLinkRemoteDeviceType(Gpu *gpu, unsigned link, int *type) { *type = 2; return OK; }
int nvmlDeviceGetFieldValues(Gpu *gpu, int count, Field *fields) {
    fields[0].status = OK; fields[0].value.ui = 26562; return OK;
}
