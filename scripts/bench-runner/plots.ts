/** What was measured, as pictures for people. */
import * as vega from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'
import type { Family } from './goals.js'
import type { RecordedCase, RecordedFamily } from './record.js'
import type { Measure } from './rounds.js'

export interface Plot {
  /** The file's name without its ending. */
  readonly name: string
  /** What it shows, for those who cannot see it. */
  readonly says: string
  readonly spec: TopLevelSpec
}

interface Point {
  readonly name: string
  readonly group: string
  readonly value: number
  readonly low: number
  readonly high: number
}

const OURS = '#d1495b'
const OTHERS = '#8da9c4'
const LIMIT = '#b8b8b8'
const WIDTH = 560
const SCHEMA = 'https://vega.github.io/schema/vega-lite/v6.json'

/** The vega-lite colours of bars: ours stand out, and the limit stands back. */
const COLOUR = {
  condition: [
    { test: "indexof(datum.name, 'nonstick') >= 0", value: OURS },
    { test: "indexof(datum.name, 'bare') >= 0", value: LIMIT },
  ],
  value: OTHERS,
}

const pointsOf = (cases: readonly RecordedCase[], measure: Measure): readonly Point[] =>
  cases.flatMap(({ name, group, medians, spreads }) => {
    const [value, spread = 0] = [medians[measure], spreads[measure]]
    return value === undefined ? [] : [{ name, group, value, low: value - spread, high: value + spread }]
  })

/** The bars of one group, each with the spread of its rounds and its figure. */
const panel = (points: readonly Point[], group: string, axis: string) => ({
  title: { text: group, anchor: 'start', fontSize: 11 } as const,
  width: WIDTH,
  height: { step: 20 },
  data: { values: points.filter((point) => point.group === group) },
  encoding: { y: { field: 'name', type: 'nominal', sort: null, title: null, axis: { labelLimit: 340 } } } as const,
  layer: [
    {
      mark: { type: 'bar', height: 14 },
      encoding: {
        x: { field: 'value', type: 'quantitative', title: axis, scale: { zero: true } },
        color: COLOUR,
      },
    },
    {
      mark: { type: 'rule' },
      encoding: { x: { field: 'low', type: 'quantitative', title: axis }, x2: { field: 'high' } },
    },
    {
      mark: { type: 'text', align: 'left', dx: 6, fontSize: 10 },
      encoding: {
        x: { field: 'high', type: 'quantitative', title: axis },
        text: { field: 'value', type: 'quantitative', format: '.3~s' },
      },
    },
  ],
})

/** One panel below the other, on one scale. */
const bars = (points: readonly Point[], title: string, axis: string): TopLevelSpec =>
  ({
    $schema: SCHEMA,
    title: { text: title, anchor: 'start', offset: 12 },
    vconcat: [...new Set(points.map(({ group }) => group))].map((group) => panel(points, group, axis)),
    resolve: { scale: { x: 'shared' } },
  }) as TopLevelSpec

/** Lines over a number that stands in the name of the group, or of the case. */
const lines = (
  points: readonly (Point & { readonly at: number })[],
  title: string,
  axis: string,
  along: string,
): TopLevelSpec => ({
  $schema: SCHEMA,
  title: { text: title, anchor: 'start', offset: 12 },
  width: WIDTH,
  height: 280,
  data: { values: points.map((point) => ({ ...point })) },
  encoding: {
    x: {
      field: 'at',
      type: 'quantitative',
      title: along,
      scale: { type: 'log', nice: false },
      axis: { values: [...new Set(points.map(({ at }) => at))] },
    },
    y: { field: 'value', type: 'quantitative', title: axis, scale: { zero: true } },
    color: {
      field: 'name',
      type: 'nominal',
      sort: null,
      title: null,
      legend: { labelLimit: 320, orient: 'bottom', columns: 2 },
    },
  },
  layer: [
    { mark: { type: 'line', point: true } },
    { mark: { type: 'rule' }, encoding: { y: { field: 'low', type: 'quantitative' }, y2: { field: 'high' } } },
  ],
})

const numberIn = (text: string): number => Number(/\d+/.exec(text)?.[0] ?? Number.NaN)

/** The pictures of each family. A run of some cases alone has those of which it measured something. */
export const plotsOf = (family: Family, { cases }: RecordedFamily): readonly Plot[] => {
  const plots: Plot[] = []
  const within = (groups: RegExp) => cases.filter(({ group }) => groups.test(group))
  const add = (name: string, says: string, points: readonly Point[], spec: TopLevelSpec): void => {
    if (points.length > 0) plots.push({ name, says, spec })
  }
  const addBars = (name: string, says: string, groups: RegExp, measure: Measure, axis: string): void => {
    const points = pointsOf(within(groups), measure)
    add(name, says, points, bars(points, says, axis))
  }
  if (family === 'request') {
    const usual = /^1500 bytes, .*, one process$/
    addBars('request-cpu', 'CPU of the server for a request, sessions of 1.5 KB, one process', usual, 'cpuUs', 'µs')
    addBars(
      'request-per-second',
      'Requests in a second, sessions of 1.5 KB, one process',
      usual,
      'perSecond',
      'per second',
    )
    addBars(
      'request-p99',
      'The slowest request but one in a hundred, sessions of 1.5 KB, one process',
      usual,
      'p99Us',
      'µs',
    )
    addBars(
      'request-cluster',
      'CPU of both servers for a request, sessions of 1.5 KB, two processes',
      /two processes$/,
      'cpuUs',
      'µs',
    )
    for (const [pattern, words] of [
      ['read-only', 'only reads'],
      ['always writing', 'writes'],
    ] as const) {
      const points = pointsOf(within(new RegExp(`${pattern}, one process$`)), 'cpuUs').map((point) => ({
        ...point,
        at: numberIn(point.group),
      }))
      const says = `CPU of the server for a request that ${words}, by the size of the session`
      add(`request-size-${pattern.replace(' ', '-')}`, says, points, lines(points, says, 'µs', 'bytes of JSON'))
    }
  }
  if (family === 'store')
    addBars('store-cpu', 'CPU for a call, sessions of 1.5 KB, 16 at once', /, 16 at once$/, 'cpuUs', 'µs')
  if (family === 'codec')
    for (const bytes of [1_500, 20_000])
      addBars(
        `codec-${bytes}`,
        `CPU to encode and to decode a session of ${bytes} bytes of JSON`,
        new RegExp(`, ${bytes} bytes$`),
        'cpuUs',
        'µs',
      )
  if (family === 'flush') {
    const points = pointsOf(cases, 'perSecond').map((point) => ({ ...point, at: numberIn(point.group) }))
    const says = 'Sessions that reach the database in a second, from the save to its acknowledgement'
    add('flush', says, points, lines(points, says, 'sessions in a second', 'sessions due at once'))
  }
  if (family === 'scale') {
    const points = pointsOf(cases, 'cpuUs').map((point) => ({
      ...point,
      name: point.group,
      at: numberIn(point.name),
    }))
    const says = 'CPU for a call, by the number of sessions'
    add('scale', says, points, lines(points, says, 'µs', 'sessions'))
  }
  return plots
}

/** The picture, as the text of an SVG file. */
export const svgOf = async ({ spec, says }: Plot): Promise<string> => {
  const view = new vega.View(vega.parse(compile(spec).spec), { renderer: 'none' })
  try {
    const svg = await view.toSVG()
    return `${svg.replace('<svg ', `<svg role="img" aria-label="${says.replaceAll('"', '&quot;')}" style="background:white" `)}\n`
  } finally {
    view.finalize()
  }
}
