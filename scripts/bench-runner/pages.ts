/** The pages of docs/benchmarks, made of the record alone. */
import { FAMILIES, type Family, type FigureName, GOALS, reaches, rounded, wordsOf } from './goals.js'
import { plotsOf, svgOf } from './plots.js'
import type { BenchRecord, Circumstances, RecordedFamily } from './record.js'
import { tablesOf } from './tables.js'

const TITLES: Readonly<Record<Family, string>> = {
  request: 'Requests',
  store: 'Calls of the store',
  codec: 'Codecs',
  flush: 'Flushes',
  scale: 'Many sessions',
}

const WHAT: Readonly<Record<Family, string>> = {
  request:
    'Requests to an application of express 5 with express-session, and of fastify and hono, that answers with a few bytes. CPU is that of the server process alone; 16 connections stay open. The bare socket is the limit: a get and a set of the binary protocol, and JSON, and nothing else. A cluster of two has its requests sent to each process in turn.',
  store:
    'Calls of a session store on Memcached and PostgreSQL, beside the clients of others that move the same bytes and do nothing else with them. A session has 1.5 KB as JSON. "Codec passed by" is the same store with a codec that hands bytes on.',
  codec:
    'Sessions that hold nothing but what JSON has, from values to bytes and back. Each codec is asked for bytes, as every store needs them.',
  flush:
    'So many sessions of 1.5 KB are changed at once, and every change is due for PostgreSQL. Beside it, a program that writes each of them by one upsert, through the same pool of 10 connections, and the limit: all of them in one upsert, with nothing that guards, remembers or indexes them.',
  scale: 'Sessions of 250 bytes, any of which is asked for next, 16 at once. No change is due for the database.',
}

const onWhat = ({ machine, node, versions, commit, day, effort }: Circumstances): string =>
  `Measured on ${day} at commit ${commit}: ${machine}; Node ${node}; ` +
  `${Object.entries(versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(', ')}. ` +
  `${effort.rounds} rounds of ${effort.seconds} s for each case; a figure is the median of the rounds, and ± is the median of their distances from it.`

const numberOf = (figure: number | undefined): string => (figure === undefined ? '–' : String(rounded(figure)))

const goalTable = ({ figures, spreads, before }: BenchRecord): string =>
  [
    '| figure | goal | now | ± | before | |',
    '|---|--:|--:|--:|--:|---|',
    ...(Object.keys(GOALS) as FigureName[]).map((name) => {
      const { says, bound } = GOALS[name]
      const now = figures[name]
      const verdict = now === undefined ? 'not measured' : reaches(now, bound) ? 'reached' : 'missed'
      return `| ${says} | ${wordsOf(bound)} | ${numberOf(now)} | ${numberOf(spreads[name])} | ${numberOf(before[name])} | ${verdict} |`
    }),
    '',
  ].join('\n')

const MADE = '<!-- `scripts/bench --write` makes this page. -->'

const overview = (record: BenchRecord): string => `# Benchmarks

${MADE}

Nonstick beside other session stores, beside the clients that it stands on, and beside the limit. \`scripts/bench\` measures all
of it on servers that it starts itself, in 10 to 15 minutes; \`scripts/bench --help\` tells how to measure a part. Measure on your own
machine before you rely on a figure: times depend on it, and the ratios of this page do far less.

All cases of a page take turns, in rounds. A ratio is that of the two cases in each round, and of these the median, so that
what slows down the machine for a while changes it little.

## What nonstick means to reach

${goalTable(record)}
## The pages

${FAMILIES.filter((family) => record.families[family] !== undefined)
  .map((family) => `* [${TITLES[family]}](${family}.md)`)
  .join('\n')}
* [Capacity](../capacity.md): load, loss and memory, to plan by
* The figures as JSON: [record.json](record.json)
`

const familyPage = (family: Family, recorded: RecordedFamily): string =>
  [
    `# ${TITLES[family]}`,
    MADE,
    WHAT[family],
    onWhat(recorded.circumstances),
    ...recorded.notes,
    ...plotsOf(family, recorded).map(({ name, says }) => `![${says}](${name}.svg)`),
    tablesOf(recorded).trimEnd(),
    '[All benchmarks](README.md)\n',
  ].join('\n\n')

/** Each file of the folder, by its name. */
export const pagesOf = async (record: BenchRecord): Promise<Readonly<Record<string, string>>> => {
  const files: Record<string, string> = {
    'README.md': overview(record),
    'record.json': `${JSON.stringify(record, undefined, 2)}\n`,
  }
  for (const family of FAMILIES) {
    const recorded = record.families[family]
    if (recorded === undefined) continue
    files[`${family}.md`] = familyPage(family, recorded)
    for (const plot of plotsOf(family, recorded)) files[`${plot.name}.svg`] = await svgOf(plot)
  }
  return files
}
