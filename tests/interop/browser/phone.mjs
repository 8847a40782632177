// A phone in a browser, without the browser: SIP.js over the WebSocket of the package ws. There is no media; what stands
// in for WebRTC gives a fixed session description that names the user, so that each end can tell whom it talks to.
//
//   node phone.mjs URL USER PASSWORD DOMAIN
//
// Reads a command a line: register, unregister, call USER, hangup, message USER TEXT, quit. Prints what happens, a line
// each; the calls of a phone are counted from 1. Incoming calls are answered.

import { createInterface } from "node:readline";
import { Inviter, Messager, Registerer, SessionState, UserAgent } from "sip.js";
import WebSocket from "ws";

globalThis.WebSocket = WebSocket;

const [url, user, password, domain] = process.argv.slice(2);

class FixedDescription {
  remote = "nobody";

  async getDescription() {
    const lines = ["v=0", `o=${user} 1 1 IN IP4 127.0.0.1`, "s=-", "c=IN IP4 127.0.0.1", "t=0 0"];
    const body = [...lines, "m=audio 40000 RTP/AVP 0 8", "a=sendrecv", ""].join("\r\n");
    return { body, contentType: "application/sdp" };
  }

  async setDescription(description) {
    this.remote = /^o=(\S+)/m.exec(description)?.[1] ?? "nobody";
  }

  hasDescription(contentType) {
    return contentType === "application/sdp";
  }

  async rollbackDescription() {}

  sendDtmf() {
    return false;
  }

  close() {}
}

const say = (...words) => console.log(words.join(" "));
const addressOf = (name) => UserAgent.makeURI(`sip:${name}@${domain}`);

let calls = 0;
let current = null;

function follow(session) {
  const number = ++calls;
  current = session;
  session.delegate = { onBye: (bye) => bye.accept() };
  session.stateChange.addListener((state) => {
    if (state === SessionState.Established) {
      say("established", number, "with", session.sessionDescriptionHandler.remote);
    } else if (state === SessionState.Terminated) {
      say("ended", number);
    }
  });
  return number;
}

async function call(name) {
  const session = new Inviter(agent, addressOf(name));
  const number = follow(session);
  await session.invite({
    requestDelegate: {
      onProgress: (response) => say("progress", number, response.message.statusCode),
      onReject: (response) => say("refused", number, response.message.statusCode),
    },
  });
}

async function hangUp() {
  if (current.state === SessionState.Established) {
    await current.bye();
  } else {
    await current.cancel();
  }
}

function message(name, words) {
  return new Messager(agent, addressOf(name), words.join(" ")).message({
    requestDelegate: {
      onAccept: (response) => say("delivered", response.message.statusCode),
      onReject: (response) => say("undelivered", response.message.statusCode),
    },
  });
}

const agent = new UserAgent({
  uri: addressOf(user),
  authorizationUsername: user,
  authorizationPassword: password,
  transportOptions: { server: url, traceSip: false },
  sessionDescriptionHandlerFactory: () => new FixedDescription(),
  logBuiltinEnabled: false,
  delegate: {
    onConnect: () => say("connected"),
    onDisconnect: () => say("disconnected"),
    onInvite: async (invitation) => {
      say("called by", invitation.remoteIdentity.uri.user);
      follow(invitation);
      await invitation.accept();
    },
    onMessage: async (incoming) => {
      await incoming.accept();
      say("message from", incoming.request.from.uri.user, incoming.request.body);
    },
  },
});
const registerer = new Registerer(agent, { expires: 600 });

const register = () =>
  registerer.register({
    requestDelegate: {
      onAccept: () => say("registered"),
      onReject: (response) => say("not registered", response.message.statusCode),
    },
  });

async function quit() {
  await agent.stop();
  process.exit(0);
}

const commands = {
  register,
  unregister: () => registerer.unregister({ requestDelegate: { onAccept: () => say("unregistered") } }),
  call: ([name]) => call(name),
  hangup: hangUp,
  message: ([name, ...words]) => message(name, words),
  quit,
};

createInterface({ input: process.stdin }).on("line", async (line) => {
  const [command, ...words] = line.split(" ");
  try {
    await commands[command](words);
  } catch (error) {
    say("failed", command, error.message);
  }
});

try {
  await agent.start();
} catch (error) {
  say("not connected", error.message);
  process.exit(1);
}
