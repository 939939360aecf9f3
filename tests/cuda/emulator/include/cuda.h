#pragma once
#include "emulator.h"
using CUtensorMap = struct alignas(64) { unsigned long long opaque[16]; };
