// What a page of somebody else tries on the ports of this machine. Everything it may learn is in the answer.
async function attack({gate, host, runtimes}) {
  const learned = [];
  const zip = "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA==";
  const code = JSON.stringify({FunctionName: "evil", Runtime: "python3.12", Handler: "a.b",
    Role: "arn:aws:iam::000000000000:role/r", Code: {ZipFile: zip}});
  const signed = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=0";
  const event = JSON.stringify({Records: [], evil: true});
  const attempt = async (what, url, options) => {
    try {
      const answer = await fetch(url, {signal: AbortSignal.timeout(5000), ...options});
      learned.push([what, answer.type, answer.status, answer.type === "opaque" ? "" : await answer.text()]);
    } catch (error) { learned.push([what, "error", 0, ""]); }
  };
  const functions = `${gate}/2015-03-31/functions`;
  for (const mode of ["cors", "no-cors"]) {
    const simple = {"Content-Type": "text/plain"};
    await attempt("create", functions, {method: "POST", mode, body: code, headers: simple});
    await attempt("invoke", `${functions}/evil/invocations`, {method: "POST", mode, body: event, headers: simple});
    await attempt("list", `${gate}/`, {mode});
    await attempt("stack", `${gate}/?Action=CreateStack&StackName=evil&TemplateBody={}`, {mode});
    await attempt("reset", `${gate}/_ministack/reset`, {method: "POST", mode, headers: simple});
    await attempt("health", `${gate}/_ministack/health`, {mode});
    await attempt("host", `${host}/video-splitting`, {method: "POST", mode, body: event, headers: simple});
    await attempt("host", `${host}/guess/video-splitting`, {method: "POST", mode, body: event, headers: simple});
    for (const runtime of runtimes) await attempt("steal", `${runtime}/2018-06-01/runtime/invocation/next`, {mode});
  }
  await attempt("create signed", functions, {method: "POST", body: code, headers: {Authorization: signed}});
  await attempt("upload", `${gate}/unit-input/evil.mp4`, {method: "PUT", body: "evil"});
  await attempt("target", `${gate}/`, {method: "POST", body: "{}", headers: {"X-Amz-Target": "AmazonSQS.ListQueues"}});
  navigator.sendBeacon(functions, new Blob([code], {type: "text/plain"}));
  await loaded(Object.assign(new Image(), {src: `${gate}/unit-input/evil.png`}));
  await loaded(Object.assign(document.createElement("script"), {src: `${gate}/`}));
  await loaded(Object.assign(document.createElement("link"), {rel: "stylesheet", href: `${gate}/unit-output`}));
  await post(`${gate}/`, {Action: "CreateQueue", QueueName: "evil"});
  await post(`${host}/video-splitting`, {evil: "true"});
  await post(`${gate}/unit-input`, {key: "evil.mp4", file: "evil"}, "multipart/form-data");
  await new Promise((done) => {
    const socket = new WebSocket(gate.replace("http", "ws") + "/");
    socket.onopen = () => { learned.push(["socket", "open", 101, ""]); done(); };
    socket.onerror = socket.onclose = () => done();
  });
  return learned;
}

function loaded(element) {
  return new Promise((done) => {
    element.onload = element.onerror = () => done();
    document.body.append(element);
  });
}

function post(action, values, enctype = "application/x-www-form-urlencoded") {
  return new Promise((done) => {
    const frame = Object.assign(document.createElement("iframe"), {name: `frame-${document.forms.length}`});
    const form = Object.assign(document.createElement("form"), {action, method: "POST", enctype, target: frame.name});
    for (const [name, value] of Object.entries(values)) {
      form.append(Object.assign(document.createElement("input"), {name, value}));
    }
    document.body.append(frame, form);
    frame.onload = () => done();
    form.submit();
    setTimeout(done, 3000);
  });
}
