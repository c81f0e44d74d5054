/** A real browser, for what only a browser shows: Chromium without a window, driven over its debugging protocol. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WebSocket } from 'undici'
import { lastLines, pauseMs, removeFolder, startProcess } from '../../scripts/servers/process.js'
import { absent, type Found } from './skip.js'

export interface BrowserPage extends AsyncDisposable {
  /** Runs an expression in the page and resolves with its value, which JSON can carry; waits for a promise. */
  evaluate<Value>(expression: string): Promise<Value>
  /** Repeats it until it is true. The test's own time-out is the bound. */
  until(expression: string): Promise<void>
  /** What went wrong in the page since it was opened: exceptions that nothing caught. */
  readonly complaints: readonly string[]
}

/** The path of a Chromium, or why there is none. */
export const findChromium = (): Found<string> => {
  for (const name of ['chromium', 'chromium-browser', 'google-chrome'])
    try {
      return execFileSync('/bin/sh', ['-c', 'command -v "$1"', 'sh', name], { encoding: 'utf8' }).trim()
    } catch {}
  return absent('no chromium on the PATH')
}

/** Opens the URL in a browser of its own, in a window of that size in CSS pixels. */
export const openPage = async (
  chromium: string,
  url: string,
  { width, height }: { readonly width: number; readonly height: number },
): Promise<BrowserPage> => {
  const profile = mkdtempSync(join(tmpdir(), 'nonstick-browser-'))
  const logFile = join(profile, 'browser.log')
  // Ends with this process, whatever ends it: a test that takes too long does not clean up.
  const browser = await startProcess({
    command: chromium,
    args: [
      '--headless=new',
      '--disable-gpu',
      '--remote-debugging-port=0',
      `--user-data-dir=${profile}`,
      // Chromium refuses to run as root with its sandbox. The page is the demo's own.
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
      'about:blank',
    ],
    folder: profile,
    logFile,
    endSignal: 'SIGTERM',
  })

  const portFile = join(profile, 'DevToolsActivePort')
  while (!existsSync(portFile) || !readFileSync(portFile, 'utf8').includes('\n')) {
    if (browser.isGone()) throw new Error(`${chromium} ended at its start:\n${lastLines(logFile)}`)
    await pauseMs(50)
  }
  const [port] = readFileSync(portFile, 'utf8').split('\n')
  const targets = (await (await fetch(`http://127.0.0.1:${port}/json`)).json()) as {
    readonly type: string
    readonly webSocketDebuggerUrl: string
  }[]
  const socket = new WebSocket(targets.find(({ type }) => type === 'page')?.webSocketDebuggerUrl ?? '')
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve)
    socket.addEventListener('error', reject)
  })

  const complaints: string[] = []
  const waiting = new Map<number, (result: Result) => void>()
  socket.addEventListener('message', ({ data }) => {
    const message = JSON.parse(String(data)) as Message
    if (message.id !== undefined) {
      waiting.get(message.id)?.(message.result ?? {})
      waiting.delete(message.id)
    } else if (message.method === 'Runtime.exceptionThrown') complaints.push(JSON.stringify(message.params))
  })
  let asked = 0
  const say = (method: string, params: object = {}): Promise<Result> =>
    new Promise((resolve) => {
      const id = ++asked
      waiting.set(id, resolve)
      socket.send(JSON.stringify({ id, method, params }))
    })
  const evaluate = async <Value>(expression: string): Promise<Value> => {
    const { result, exceptionDetails } = await say('Runtime.evaluate', {
      expression,
      awaitPromise: true,
      returnByValue: true,
    })
    if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails))
    return result?.value as Value
  }

  await say('Runtime.enable')
  await say('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: width < 600 })
  await say('Page.navigate', { url })
  return {
    complaints,
    evaluate,
    until: async (expression) => {
      while (!(await evaluate<boolean>(expression))) await pauseMs(50)
    },
    [Symbol.asyncDispose]: async () => {
      socket.close()
      await browser.end('SIGTERM')
      await removeFolder(profile)
    },
  }
}

interface Result {
  readonly result?: { readonly value?: unknown }
  readonly exceptionDetails?: unknown
}

interface Message {
  readonly id?: number
  readonly method?: string
  readonly params?: unknown
  readonly result?: Result
}
