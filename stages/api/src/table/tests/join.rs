use super::*;

fn bench() -> Table {
    table(&[
        "{\"model\":\"a\",\"numel\":10,\"ratio\":1.5,\"tensor\":\"x\"}",
        "{\"model\":\"b\",\"numel\":20,\"ratio\":1.6,\"tensor\":\"x\"}",
        "{\"model\":\"a\",\"numel\":10,\"ratio\":1.7,\"tensor\":\"x\"}",
        "{\"model\":\"c\",\"ratio\":1.8,\"tensor\":\"x\"}",
    ])
}

fn on() -> Vec<String> {
    names(&["model", "tensor"])
}

#[test]
fn rows_get_what_their_match_has() {
    let atlas = table(&[
        "{\"h\":3.5,\"model\":\"b\",\"numel\":20.0,\"tensor\":\"x\"}",
        "{\"h\":2.5,\"model\":\"a\",\"tensor\":\"x\"}",
        "{\"h\":9.5,\"model\":\"a\",\"tensor\":\"y\"}",
        "{\"h\":9.5,\"model\":\"a\"}",
        "{\"h\":9.5,\"model\":\"a\"}",
    ]);
    let joined = join(&bench(), &atlas, &on()).unwrap();
    assert_eq!(
        lines(&joined),
        [
            "{\"model\":\"a\",\"numel\":10,\"ratio\":1.5,\"tensor\":\"x\",\"h\":2.5}",
            "{\"model\":\"b\",\"numel\":20,\"ratio\":1.6,\"tensor\":\"x\",\"h\":3.5}",
            "{\"model\":\"a\",\"numel\":10,\"ratio\":1.7,\"tensor\":\"x\",\"h\":2.5}",
            "{\"model\":\"c\",\"ratio\":1.8,\"tensor\":\"x\"}",
        ]
    );
    let schema = bench().schema().join(atlas.schema(), &on()).unwrap();
    assert_eq!(&schema, joined.schema());
}

#[test]
fn what_a_side_lacks_comes_from_the_other() {
    let atlas = table(&["{\"model\":\"c\",\"numel\":30,\"tensor\":\"x\"}"]);
    let joined = join(&bench(), &atlas, &on()).unwrap();
    assert_eq!(joined.column("numel").unwrap()[3], Value::Int(30));
}

#[test]
fn bad_joins() {
    for (atlas, on, expected) in [
        (
            table(&[
                "{\"model\":\"a\",\"tensor\":\"x\"}",
                "{\"model\":\"a\",\"tensor\":\"x\"}",
            ]),
            on(),
            "two rows of the joined table have model = 'a', tensor = 'x'",
        ),
        (
            table(&["{\"model\":\"b\",\"numel\":21,\"tensor\":\"x\"}"]),
            on(),
            "the joined tables disagree about `numel` where model = 'b', tensor = 'x': 20 and 21",
        ),
        (
            table(&["{\"model\":\"b\"}"]),
            on(),
            "there is no column `tensor`",
        ),
        (
            table(&["{\"model\":\"b\",\"ratio\":\"x\"}"]),
            names(&["model"]),
            "the column `ratio` is a number in one table and a text in another",
        ),
    ] {
        assert_eq!(
            join(&bench(), &atlas, &on).unwrap_err().to_string(),
            expected
        );
    }
}

#[test]
fn tables_without_rows_join() {
    let nothing = Table::read(&Table::default().write(Vec::new()).unwrap()[..]).unwrap();
    assert_eq!(
        lines(&join(&bench(), &nothing, &on()).unwrap()),
        lines(&bench())
    );
    let right = table(&["{\"model\":\"a\",\"tensor\":\"x\",\"h\":1}"]);
    let joined = join(&nothing, &right, &on()).unwrap();
    assert!(joined.is_empty() && joined.column("h").is_some());
}
