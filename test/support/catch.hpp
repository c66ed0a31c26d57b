#pragma once
// Catch2 v3 split its headers and v2 (Debian 12) has one; tests include this file and nothing of Catch2's.
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif
