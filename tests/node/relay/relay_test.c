#include "node/relay/relay.h"

#include "tests/test.h"

TEST(verdicts_have_names)
{
    assert_string_equal(relay_verdict_name(RELAY_PENDING), "pending");
    assert_string_equal(relay_verdict_name(RELAY_FAILED), "failed");
}
