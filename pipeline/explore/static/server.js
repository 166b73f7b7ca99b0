// Questions to the server that this page is from.

/** What the server answers as JSON, or as text; an error has the server's words. */
export async function ask(path, content) {
  const sent = content && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(content),
  };
  let answer;
  try {
    answer = await fetch(path, sent);
  } catch {
    throw new Error("the server does not answer: start `echopair explore` again");
  }
  if (!answer.ok) throw new Error(await answer.text());
  return answer.headers.get("content-type").startsWith("application/json") ? answer.json() : answer.text();
}

/** Give a text to the browser as a download. */
export function download(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}
