#pragma once

#include <memory>
#include <utility>

namespace breakwater::detail {

/// An optional that takes the room of a pointer while it is empty: for the parts of a call in flight that few calls
/// have. Ten thousand calls wait at once; what they might need is not set aside for each.
template <class T>
class Rare {
public:
    template <class... Args>
    T& emplace(Args&&... args) {
        own_ = std::make_unique<T>(std::forward<Args>(args)...);
        return *own_;
    }
    void reset() noexcept { own_.reset(); }

    explicit operator bool() const noexcept { return own_ != nullptr; }
    T& operator*() const noexcept { return *own_; }
    T* operator->() const noexcept { return own_.get(); }

private:
    std::unique_ptr<T> own_;
};

}  // namespace breakwater::detail
