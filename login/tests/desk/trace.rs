//! What a login server tells of a terminal's way, and what it has the gateway told.

use std::sync::Arc;

use cluster::NodeId;
use cluster::trace::{DeviceMessage, Heralds, Message, Party, Recorder, Step, StepTaken, Trace, Traceparent};
use login::Login;
use model::TerminalId;
use parking_lot::Mutex;

use crate::support::{Device, Gateway, SIM, World, answer, node, wait_for_count};

/// Keeps steps; the span of the first is 1, and so on.
#[derive(Default)]
struct Told {
    steps: Mutex<Vec<(StepTaken, Option<u64>)>>,
    heralded: Mutex<Vec<(NodeId, TerminalId, u64)>>,
}

impl Recorder for Told {
    fn record(&self, step: StepTaken, after: Option<Traceparent>) -> Option<Traceparent> {
        let mut steps = self.steps.lock();
        steps.push((step, after.map(|after| after.span.get())));
        let span = (steps.len() as u64).try_into().expect("not 0");
        Some(Traceparent { trace: 7u128.try_into().expect("not 0"), span, flags: 1 })
    }
}

impl Heralds for Told {
    fn on_its_way(&self, gateway: &NodeId, terminal: TerminalId, context: Traceparent) {
        self.heralded.lock().push((gateway.clone(), terminal, context.span.get()));
    }
}

async fn world() -> (World, Arc<Told>, Login, Gateway, TerminalId) {
    let (mut world, told) = (World::new().await, Arc::new(Told::default()));
    world.trace = Trace::to(node("login1"), Arc::clone(&told) as _);
    world.heralds = Arc::clone(&told) as _;
    let terminal = world.terminal(SIM).await;
    let gateway = Gateway::new().await;
    world.fleet.put("gw1", gateway.port(), 0, None);
    let login = world.start().await;
    (world, told, login, gateway, terminal)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_is_told_by_which_step_a_terminal_comes() {
    let (_world, told, login, gateway, terminal) = world().await;
    let mut device = Device::connect(login.addr(), SIM).await;
    let code = device.register("").await.expect("known");
    let authentication = device.send(0x0102, code.as_bytes()).await;
    assert_eq!(device.reply_to(authentication).await, 0);
    let redirect = device.receive().await.expect("where to go");
    assert_eq!(*told.heralded.lock(), [(node("gw1"), terminal, 4)], "before the terminal can be there");

    device.send(0x0001, &answer(redirect.serial, 0x8105, 3)).await;
    let _link = gateway.let_in().await;
    wait_for_count(&login, "spliced", 1, |stats| stats.spliced).await;
    assert_eq!(told.heralded.lock().last(), Some(&(node("gw1"), terminal, 5)));

    let (sim, login1) = (Party::Terminal(SIM.parse().expect("a SIM")), Party::Node(node("login1")));
    let device = |id, serial| Message::Device(DeviceMessage { id, serial });
    let steps = told.steps.lock().clone();
    let said: Vec<_> =
        steps.iter().map(|(step, after)| (step.step, &step.from, &step.to, &step.message, *after)).collect();
    let assigned = Message::Words("assigned to gw1".into());
    let (registered, authenticated) = (device(0x0100, authentication - 1), device(0x0102, authentication));
    let (redirected, spliced) = (device(0x8105, redirect.serial), Message::Words("spliced".into()));
    let expected = [
        (Step::Asks, &sim, &login1, &registered, None),
        (Step::Asks, &sim, &login1, &authenticated, Some(1)),
        (Step::Assigned, &login1, &login1, &assigned, Some(2)),
        (Step::Returned, &login1, &sim, &redirected, Some(3)),
        (Step::Returned, &login1, &Party::Node(node("gw1")), &spliced, Some(4)),
    ];
    assert_eq!(said, expected);
    assert!(steps.iter().all(|(step, _)| step.terminal == Some(terminal) && step.begun <= step.ended));
    let answers: Vec<_> = steps.iter().filter_map(|(step, _)| step.answer.map(|answer| answer.id)).collect();
    assert_eq!(answers, [0x8100, 0x8001]);
    login.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_stranger_nothing_is_told() {
    let (_world, told, login, _gateway, _) = world().await;
    let mut device = Device::connect(login.addr(), SIM).await;
    assert_eq!(device.authenticate("wrong").await, 1);
    device.register("").await.expect("known");
    assert!(told.steps.lock().is_empty() && told.heralded.lock().is_empty());
    drop(device);
    login.shutdown().await;
    assert!(told.steps.lock().is_empty());
}
