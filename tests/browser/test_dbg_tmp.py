from tests.browser.test_user_management import *
def test_dbg(portal, post):
    enrolled(portal, "dist-support"); post.deliver()
    assert signed_in(portal, "dist-admin").post("/accounts/dist-support/mfa/reset", {}).status_code == 200
    for _ in range(6):
        print(post.deliver(DEAD)); 
        with portal.watchword.database.connection() as c:
            print([dict(r) if hasattr(r,'keys') else r for r in c.execute("select * from mail_queue").fetchall()])
        portal.clock.advance(hours=2, minutes=1)
    print([e.fact for e in portal.watchword.store.read(0,500)][-3:])
    assert 0
