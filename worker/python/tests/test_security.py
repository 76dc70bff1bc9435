from skiplease import Security


def test_a_token_is_sent_as_bearer_and_asked_for_each_time():
    tokens = iter(['first', 'second'])
    security = Security(token=lambda: next(tokens))
    assert security.metadata() == (('authorization', 'Bearer first'),)
    assert security.metadata() == (('authorization', 'Bearer second'),)
    assert Security(token='kept').metadata() == (('authorization', 'Bearer kept'),)
    assert Security().metadata() == ()
