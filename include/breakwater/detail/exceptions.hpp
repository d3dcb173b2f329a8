#pragma once

// Code that catches what others throw, and compiles without exceptions (-fno-exceptions), too: then there is nothing
// to catch. Written `BREAKWATER_TRY { … } BREAKWATER_CATCH_ALL { … }`.
#ifdef __cpp_exceptions
#define BREAKWATER_TRY try
#define BREAKWATER_CATCH_ALL catch (...)
#else
#define BREAKWATER_TRY if (true)
#define BREAKWATER_CATCH_ALL else
#endif
