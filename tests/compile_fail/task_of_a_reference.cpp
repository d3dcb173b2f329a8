// expect: a Task gives a value or nothing, no reference
#include <breakwater/task.hpp>

breakwater::Task<int&> find();

auto task() { return find(); }
