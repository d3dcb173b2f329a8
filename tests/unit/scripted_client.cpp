// Compiled alone: it instantiates templates of breakwater's.
#include <unit/scripted_client.hpp>

template class breakwater::ClientCore<breakwater::ScriptedTransport, test::ScriptedStore, breakwater::RuntimePolicies>;
template class breakwater::ClientCaller<test::ScriptedCore>;
