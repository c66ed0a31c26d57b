#pragma once

// Loading the plugin of test/plugin; WEFT_TEST_PLUGIN is its path.

#include <stdexcept>

#include <dlfcn.h>

namespace weft::test {

class plugin {
 public:
  plugin() : handle_(::dlopen(WEFT_TEST_PLUGIN, RTLD_NOW | RTLD_LOCAL)) {
    if (handle_ == nullptr) throw std::runtime_error(::dlerror());
  }

  plugin(const plugin&) = delete;
  plugin& operator=(const plugin&) = delete;

  ~plugin() { ::dlclose(handle_); }

  int sum(int n) const { return find<int(int)>("plugin_sum")(n); }

  int sum_on_its_own(int n) const { return find<int(int)>("plugin_sum_on_its_own")(n); }

  const void* runtime() const { return find<const void*()>("plugin_runtime")(); }

  bool is_stopped() const { return find<bool()>("plugin_is_stopped")(); }

  void stop() const { find<void()>("plugin_stop")(); }

  void restart() const { find<void()>("plugin_restart")(); }

 private:
  template <typename F>
  F* find(const char* name) const {
    return reinterpret_cast<F*>(::dlsym(handle_, name));
  }

  void* handle_;
};

}  // namespace weft::test
