import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { lastLines, type StartedProcess, startProcess } from '../../scripts/servers/process.js'
import { type AppOptions, eachLine, type FromApp, type Known, type ToApp } from './messages.js'

/** A process of the cluster, as whoever conducts the run sees it. */
export interface AppProcess {
  readonly name: string
  readonly historyFile: string
  start(known: readonly Known[]): Promise<void>
  tell(message: Extract<ToApp, { ask: 'known' | 'ended' }>): void
  stop(): Promise<void>
  look(client: string, at: readonly Known[]): Promise<void>
  write(client: string, at: readonly Known[]): Promise<void>
  close(deadlineMs: number): Promise<{ readonly left: number; readonly destroysLeft: number }>
  pause(): void
  resume(): void
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>
  isGone(): boolean
}

/** Where processes report to. */
export interface ControlDesk {
  startApp(options: Omit<AppOptions, 'controlPort' | 'secret' | 'historyFile'>): Promise<AppProcess>
  close(): void
}

const program = fileURLToPath(new URL('app.ts', import.meta.url))
/** Longer than any deadline of a store; a process that does not answer by then is a defect, and ends the run. */
const PATIENCE_MS = 60_000

/** @param onMessage hears of sessions that were made and ended */
export const controlDesk = async (
  folder: string,
  onMessage: (app: AppProcess, message: Extract<FromApp, { say: 'made' | 'ended' }>) => void,
): Promise<ControlDesk> => {
  const secret = randomBytes(16).toString('hex')
  const arriving = new Map<string, (socket: Socket) => void>()
  const server = createServer((socket) => {
    socket.setEncoding('utf8')
    socket.on('error', () => {})
    let isKnown = false
    socket.on(
      'data',
      eachLine((line) => {
        const message = JSON.parse(line) as FromApp
        if (!isKnown && message.say === 'hello' && message.secret === secret) {
          isKnown = true
          arriving.get(message.name)?.(socket)
        } else if (isKnown) socket.emit('said', message)
        else socket.destroy()
      }),
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo

  return {
    startApp: async (given) => {
      const historyFile = join(folder, `${given.name}.jsonl`)
      const options: AppOptions = { ...given, historyFile, secret, controlPort: port }
      const own = join(folder, `of-${given.name}`)
      mkdirSync(own)
      const arrived = new Promise<Socket>((resolve) => arriving.set(options.name, resolve))
      const started = await startProcess({
        command: process.execPath,
        args: ['--import', import.meta.resolve('tsx'), program, JSON.stringify(options)],
        folder: own,
        logFile: join(folder, `${given.name}.log`),
        endSignal: 'SIGKILL',
      })
      const socket = await Promise.race([
        arrived,
        started.exited.then(() => undefined),
        sleep(PATIENCE_MS, undefined, { ref: false }),
      ])
      if (socket === undefined) {
        await started.end('SIGKILL')
        throw new Error(`Process ${options.name} did not come up: ${lastLines(join(folder, `${options.name}.log`))}`)
      }
      return appProcess(options, started, socket, onMessage)
    },
    close: () => {
      server.close()
    },
  }
}

const appProcess = (
  { name, historyFile }: AppOptions,
  started: StartedProcess,
  socket: Socket,
  onMessage: (app: AppProcess, message: Extract<FromApp, { say: 'made' | 'ended' }>) => void,
): AppProcess => {
  const waiting = new Map<number, (value: unknown) => void>()
  let last = 0
  const send = (message: ToApp): void => void socket.write(`${JSON.stringify(message)}\n`)
  const ask = async (question: (number: number) => ToApp): Promise<unknown> => {
    last += 1
    const number = last
    const answer = new Promise((resolve, reject) => {
      waiting.set(number, resolve)
      const timer = setTimeout(() => reject(new Error(`Process ${name} does not answer`)), PATIENCE_MS)
      timer.unref()
      void started.exited.then(() => reject(new Error(`Process ${name} has ended`)))
    })
    send(question(number))
    return await answer
  }
  const app: AppProcess = {
    name,
    historyFile,
    start: async (known) => void (await ask((number) => ({ ask: 'start', number, known }))),
    tell: send,
    stop: async () => void (await ask((number) => ({ ask: 'stop', number }))),
    look: async (client, at) => void (await ask((number) => ({ ask: 'look', number, client, at }))),
    write: async (client, at) => void (await ask((number) => ({ ask: 'write', number, client, at }))),
    close: async (deadlineMs) => {
      const report = await ask((number) => ({ ask: 'close', number, deadlineMs }))
      await started.end('SIGKILL')
      return report as { left: number; destroysLeft: number }
    },
    pause: () => started.signal('SIGSTOP'),
    resume: () => started.signal('SIGCONT'),
    kill: () => started.end('SIGKILL'),
    isGone: () => started.isGone(),
  }
  socket.on('said', (message: FromApp) => {
    if (message.say === 'done') {
      waiting.get(message.number)?.(message.value)
      waiting.delete(message.number)
    } else if (message.say !== 'hello') onMessage(app, message)
  })
  return app
}
