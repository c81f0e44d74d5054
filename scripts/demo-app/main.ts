/** `scripts/demo`: starts the tiers and the cluster, then serves the page or drives the cluster by itself. */
import { randomBytes } from 'node:crypto'
import { startBehind } from './behind.js'
import { CleanUp } from './clean-up.js'
import { Cluster, sumOfStats } from './cluster.js'
import { difference } from './counters.js'
import { drive } from './drive.js'
import { startEntry } from './entry.js'
import { parseOptions, UsageError } from './options.mjs'
import { Panel } from './panel.js'
import { failures, jsonLine, summary } from './summary.js'
import { startFront } from './tiers.js'
import { told } from './words.js'

const APPS = ['app-1', 'app-2', 'app-3']

const cleanUp = new CleanUp()

/** Progress goes beside the output, which belongs to the report. */
const say = (line: string): void => {
  process.stderr.write(`${line}\n`)
}

const end = async (status: number): Promise<never> => {
  await cleanUp.run(say)
  process.exit(status)
}

const run = async (): Promise<void> => {
  const options = parseOptions(process.argv.slice(2))

  let panel: Panel | undefined
  let cluster: Cluster | undefined
  // First of all, so that a port that somebody else took meanwhile is found before any server is started.
  const entry = await cleanUp.start(
    'the entry',
    () =>
      startEntry({
        upstreams: () => cluster?.alive ?? [],
        own: (req, res) => panel?.take(req, res) ?? false,
        onForwarded: (forwarded) => panel?.forwarded(forwarded),
        port: options.port,
      }),
    (started) => started.close(),
  )
  const front = await cleanUp.start(
    'the cache',
    () => startFront(say),
    (server) => server.stop(),
  )
  const behind = await startBehind(options.backend, cleanUp, say)

  let deaths = 0
  const secret = randomBytes(32).toString('base64url')
  const sealingKey = options.sealed ? randomBytes(32).toString('base64url') : undefined
  const configs = APPS.map((name) => ({
    name,
    memcachedServer: front.address,
    backend: behind.place,
    secret,
    maxStaleCount: options.maxStaleCount,
    sealingKey,
  }))
  const apps = await cleanUp.start(
    'the app processes',
    () =>
      Cluster.start(configs, {
        flush: (_app, _reason, count) => panel?.flushed(count),
        fault: () => undefined,
        died: (name, killed) => {
          if (!killed) deaths++
          say(killed ? `${name} was killed, and is started again.` : `${name} died.`)
        },
      }),
    (started) => started.close(),
  )
  const machinery = {
    processes: APPS.length,
    front: front.kind,
    frontVersion: front.version,
    backend: behind.kind,
    backendName: behind.name,
    backendVersion: behind.version,
    maxStaleCount: options.maxStaleCount,
  }
  cluster = apps
  panel = await cleanUp.start(
    'the page',
    async () => new Panel({ cluster: apps, front, behind, maxStaleCount: options.maxStaleCount }),
    async (page) => page.close(),
  )

  if (options.once) {
    say('Driving the cluster…')
    const before = await behind.read()
    let beforeKill = { hits: 0, misses: 0 }
    const sample = () => front.counters()
    const report = await drive({
      url: entry.url,
      processes: APPS,
      maxStaleCount: options.maxStaleCount,
      kill: async () => {
        // The counters die with the server.
        beforeKill = (await sample()) ?? beforeKill
        await front.kill()
      },
      restart: () => front.restart(),
    })
    const stats = sumOfStats(await apps.stats())
    if (stats === undefined) throw new Error('no app process told its counters')
    const afterKill = await sample()
    await apps.settle()
    const counted = difference(before, await behind.read())
    const ended = options.keepOpen ? { drained: 0, left: 0 } : await apps.close()
    const costs = {
      stats,
      cache:
        afterKill === undefined
          ? undefined
          : { hits: beforeKill.hits + afterKill.hits, misses: beforeKill.misses + afterKill.misses },
      backendWrites: counted.inserted + counted.updated,
      backendReads: counted.read,
      deaths,
      ...ended,
    }
    // What is printed last stays last.
    if (!options.keepOpen) await cleanUp.run(say)
    process.stdout.write(`${summary(report, costs, machinery)}\n${jsonLine(report, costs, machinery)}\n`)
    if (failures(report, costs).length > 0) process.exitCode = 1
    if (!options.keepOpen) return
  }
  say(`\nOpen ${entry.url} in a browser. Ctrl-C ends everything.\n`)
  await new Promise(() => undefined)
}

for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const)
  process.on(signal, () => {
    // The second time somebody is in a hurry; the servers' guards and the closed channels do the rest.
    if (cleanUp.ending) process.exit(status)
    say('\nEnding…')
    end(status).catch(() => process.exit(status))
  })

const fail = (error: unknown): void => {
  // The clean-up itself makes what is still under way fail.
  if (cleanUp.ending) return
  if (error instanceof UsageError) say(`scripts/demo: ${error.message}`)
  else say(`scripts/demo failed: ${told(error)}`)
  end(error instanceof UsageError ? 2 : 1).catch(() => process.exit(1))
}
process.on('uncaughtException', fail)
process.on('unhandledRejection', fail)

run().then(() => end(Number(process.exitCode ?? 0)), fail)
