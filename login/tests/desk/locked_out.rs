//! DESIGN rule 7, at the login server: no terminal is locked out because the database is away.

use crate::support::{Device, SIM, World, parameters};

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_with_a_genuine_code_is_sent_on_while_the_database_is_away() {
    let (world, login, gateway, _) = World::small().await;
    let mut device = Device::connect(login.addr(), SIM).await;
    let code = device.register("").await.expect("known");
    drop(device);
    world.database.take_away();
    for _ in 0..2 {
        let mut device = Device::connect(login.addr(), SIM).await;
        assert_eq!(device.authenticate(&code).await, 0);
        let redirect = device.receive().await.expect("where to go");
        assert_eq!(parameters(&redirect)[6], gateway.port().to_string());
    }
    let mut stranger = Device::connect(login.addr(), "13900000099").await;
    stranger.send(0x0100, &Device::registration("")).await;
    stranger.assert_quiet().await;
    world.database.bring_back();
    let mut device = Device::connect(login.addr(), SIM).await;
    assert_eq!(device.register("").await, Ok(code));
    login.shutdown().await;
}
