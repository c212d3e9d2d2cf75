// Reads [{language, query}] from standard input; prints, for each, the places that do not parse.
const grammars = {
  loki: require('@grafana/lezer-logql').parser,
  tempo: require('@grafana/lezer-traceql').parser,
};

const asked = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const found = asked.map(({language, query}) => {
  const wrong = [];
  grammars[language].parse(query).iterate({
    enter(node) { if (node.type.isError) wrong.push(query.slice(0, node.from) + '⟵'); },
  });
  return wrong;
});
console.log(JSON.stringify(found));
