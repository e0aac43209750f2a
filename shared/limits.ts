/** Every bound of npp that is not a configuration key: its name, its unit, its reason. Keys and their defaults are in config.ts. */
export const Limits = {
  // Requests.
  /** bytes of empty lines tolerated before a start line (RFC 9112 §2.2) */
  leadingEmptyBytes: 16,
  /** bytes of chunk extensions and trailers of one body: they carry nothing that npp uses */
  chunkOverheadBytes: 16 * 1024,
  /** bytes a connection may send ahead of the answer it waits for, before it is not read any more */
  pipelinedBytes: 64 * 1024,
  /** bytes of a body that are read and dropped after its request was refused; where more is to come, the connection is closed instead */
  discardedBytes: 256 * 1024,
  /** digits of a Content-Length: 15 stay below 2^53 and so are exact in a double */
  contentLengthDigits: 15,
  /** hexadecimal digits of a chunk size: 12 stay below 2^53 */
  chunkSizeDigits: 12,

  // Responses.
  /** bytes of the shared output arena: several answers of one read leave in one write */
  outputArenaBytes: 256 * 1024,
  /** bytes of fields that an answer in the arena has at the most */
  arenaFieldBytes: 16 * 1024,
  /** a body above this many bytes gets a buffer of its own, so that the arena stays small */
  arenaBodyBytes: 64 * 1024,
  /** bytes of a file up to which sendFile reads it and sends it as a body; a larger one goes by sendfile(2), and is never in this process */
  fileReadBytes: 64 * 1024,
  /** bytes that one stream writes before others have their turn, where its source waits for nothing */
  streamTurnBytes: 64 * 1024,
  /** milliseconds that a closing connection may take to read its last answer before it is cut off */
  lingerMs: 2000,

  // Sockets.
  /** bytes of one write that are copied into the arena of the turn; a larger one is sent from where it lies */
  copiedWriteBytes: 64 * 1024,
  /** TLS connections in their handshake, beside those that maxConnections allows */
  tlsHandshakes: 256,
  /** descriptors that select(2) can watch: FD_SETSIZE of the C library */
  selectDescriptors: 1024,
  /** bytes of a file that are read at once where the kernel does not send it by itself */
  fileChunkBytes: 256 * 1024,
  /** refused connections that are read from until they have taken their refusal in; as in native/net-state.h */
  lingeringRefusals: 64,
  /** milliseconds until npp accepts again after the system had no descriptor left, not even for a refusal */
  acceptRetryMs: 100,

  // Calls.
  /** bytes of a service name in UTF-8 */
  serviceNameBytes: 255,
  /** nesting of arrays and maps in the body of a call; deeper data is a mistake or an attack on the decoder's stack */
  callDepth: 128,
  /** milliseconds without any service process during which calls still wait for one: a restart takes about 200 */
  serviceGraceMs: 1000,
  /** milliseconds between two looks, while calls wait, at whether services have come or gone. Those that come announce themselves, so this is for
   * what went wrong; a wake-up of an idle process costs some 200 µs of a small machine */
  serviceWatchMs: 250,
  /** milliseconds between two looks at the locks by which processes show that they are alive */
  presenceCheckMs: 100,
  /** replies an engine takes from a queue in one turn of the event loop, so that sockets are served in between */
  repliesPerTurn: 256,
  /** milliseconds that the calls of one message are expected to take at the most, and after which a service gives those back that it has not
   * begun: what the last of them waits for the others while another process may be free. Ten times what a message costs to send and to take */
  callBatchMs: 2,
  /** milliseconds that calls gather while a turn of the event loop goes on from batch to batch: half of what a batch may take */
  callGatherMs: 1,
  /** times that a call is given back; then it is run where it is, as everybody seems to be busy */
  callReturns: 3,
  /** milliseconds between two looks at whether calls that wait in a service were cancelled, and between the beats by which it shows that its
   * event loop turns: one fits between two looks of the engine */
  cancelLookMs: 200,

  /** bytes of a payload above which it travels as a file in memory: below, a few messages are as fast */
  spillBytes: 64 * 1024,
  /** milliseconds after which a spilled payload that nobody took is an orphan: twice what a call may take by default at the most. The file of a
   * call that may take longer counts as new until then */
  spillOrphanMs: 3_600_000,
  /** milliseconds between two looks for orphans */
  spillSweepMs: 60_000,
  /** bytes of memory that a process keeps for reading payloads that are decoded: the kernel finds no pages for it anew */
  payloadMemoryBytes: 4 * 1024 * 1024,
  /** bytes of a large reply that take an engine about as long as a small reply does */
  replyWeightBytes: 4096,

  // Processes.
  /** processes of an instance that the scoreboard has slots for */
  scoreboardSlots: 256,
  /** calls that a service process may have in hand at a time */
  callsInHand: 64,
  /** pending calls of an engine process that can be marked as cancelled on the scoreboard, 4 bytes each: maxBacklog by default, and what is
   * in the queue and in hand besides. Slots of pending calls are used from 0 on, so that only calls beyond as many are run in vain */
  cancelSlots: 16_384,
  /** milliseconds between two looks at a service process that seems to be blocked, and looks in a row in which it has to show no sign of life:
   * the engine goes by its own clock, so that a machine that stood still kills nobody */
  hangLookMs: 250,
  hangLooks: 4,
  /** milliseconds between two looks for such a process while calls are out that nobody waits for */
  hangSearchMs: 1000,
  /** services whose figures are kept apart; those of any more are added up in one row */
  scoreboardServices: 128,
  /** milliseconds between two writes of a process's figures to the scoreboard: what a status page needs, and what a kill loses of them */
  figuresFlushMs: 1000,
  /** engine processes of an instance */
  engines: 16,
  /** milliseconds between two looks at whether a process has ended, where the kernel cannot tell by itself */
  processPollMs: 100,
  /** milliseconds a new service waits for its engine before it gives up, and again after the engine went away */
  attachMs: 10_000,
  /** milliseconds between two looks for the engine while waiting for it */
  attachPollMs: 50,
  /** milliseconds between two looks at whether the engine still lives */
  engineCheckMs: 250,
  /** milliseconds between two looks of the engine at whether its queues and scoreboard still have their names; a look takes some 30 µs */
  nameCheckMs: 250,
  /** milliseconds until the log says again that they cannot be made anew */
  nameTroubleMs: 10_000,
  /** milliseconds that the kernel may take to clear up after a killed engine */
  engineEndMs: 200,
  /** milliseconds that npp start waits for the first service before it listens without one */
  firstServiceMs: 5000,
  /** milliseconds before a dead service is started again: first, and at the most; it doubles in between */
  restartBackoffMs: 100,
  restartBackoffMaxMs: 10_000,
  /** a service that lived this many milliseconds has proved itself: its next restart is prompt again */
  restartProvenMs: 10_000,
  /** milliseconds that services get to end after the drain before they are killed */
  serviceStopMs: 2000,

  // Log.
  /** characters the log collects before it writes: some 300 requests of the access log a call of the system */
  logBufferLength: 64 * 1024,
  /** bytes of one write of the log to a pipe or a socket: PIPE_BUF, which a pipe takes as a whole or not at all (pipe(7)) */
  logPipeBytes: 4096,
  /** bytes of one write of the log to a file */
  logWriteBytes: 256 * 1024,
  /** milliseconds a line waits in that buffer at the most */
  logFlushMs: 500,
  /** bytes of lines that wait for a reader that is behind; what comes beyond them is lost and counted */
  logWaitingBytes: 16 * 1024 * 1024,
  /** milliseconds that an error or a warning waits for a reader that does not read, once until it has read all; at the end of the process, what it
   * may stand still */
  logStallMs: 100,
  /** milliseconds that the last lines may take while their reader reads: pm2 kills after 1600 */
  logEndMs: 1000,
  /** milliseconds between two tries while the reader is behind, at the most */
  logRetryMs: 50,
  /** warnings about what came from elsewhere that are written in a second; each is a call of the system */
  warningsPerSecond: 5,
} as const
